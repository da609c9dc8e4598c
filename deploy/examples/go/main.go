// Prints what deleted and edited messages said before, and asks shard 0 for its status.
//
//	go mod tidy
//	RABBIT_URL=amqp://guest:guest@127.0.0.1/ go run .
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const queue = "example-go"

var events = []string{"MESSAGE_UPDATE", "MESSAGE_DELETE"}

// Event is what Dispatch publishes; Old is the state before.
type Event struct {
	Type string         `json:"t"`
	Data map[string]any `json:"d"`
	Old  map[string]any `json:"old"`
}

// handled has the ids of the last messages: after a crash a few come again, under the same id.
type handled struct {
	order []string
	ids   map[string]bool
}

func (h *handled) add(id string) {
	h.ids[id] = true
	h.order = append(h.order, id)
	if len(h.order) > 10_000 {
		delete(h.ids, h.order[0])
		h.order = h.order[1:]
	}
}

// send sends a command and returns Dispatch's reply.
func send(connection *amqp.Connection, command any) (string, error) {
	channel, err := connection.Channel()
	if err != nil {
		return "", err
	}
	defer channel.Close()
	replies, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return "", err
	}
	answers, err := channel.Consume(replies.Name, "", true, true, false, false, nil)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(command)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message := amqp.Publishing{ReplyTo: replies.Name, CorrelationId: "1", Body: body}
	if err := channel.PublishWithContext(ctx, "", "gateway.send", false, false, message); err != nil {
		return "", err
	}
	select {
	case answer, ok := <-answers:
		if !ok {
			return "", errors.New("the connection ended")
		}
		return string(answer.Body), nil
	case <-ctx.Done():
		return "", errors.New("no reply")
	}
}

func handle(event Event) {
	if event.Old != nil {
		log.Println(event.Type, event.Data["id"], "was:", event.Old["content"])
	}
}

func consume(url string, done *handled) error {
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(100, 0, false); err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return err
	}
	for _, name := range events {
		if err := channel.QueueBind(queue, name, "gateway", false, nil); err != nil {
			return err
		}
	}
	messages, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	status, err := send(connection, map[string]int{"op": 3, "shard": 0})
	if err != nil {
		return err
	}
	log.Println("status:", status)
	for message := range messages {
		if !done.ids[message.MessageId] {
			var event Event
			if err := json.Unmarshal(message.Body, &event); err != nil {
				return err
			}
			handle(event)
			done.add(message.MessageId)
		}
		// After the work, so that a crash loses nothing.
		if err := message.Ack(false); err != nil {
			return err
		}
	}
	return errors.New("the connection ended")
}

func main() {
	url := os.Getenv("RABBIT_URL")
	if url == "" {
		url = "amqp://guest:guest@127.0.0.1/"
	}
	done := &handled{ids: map[string]bool{}}
	for {
		log.Printf("%v; reconnecting", consume(url, done))
		time.Sleep(time.Second)
	}
}
