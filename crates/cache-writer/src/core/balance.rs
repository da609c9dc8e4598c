//! Sharing the partitions among the writers.
//!
//! Every writer subscribes to every partition queue, and RabbitMQ serves the first subscriber of each: the first process up
//! is active everywhere, and nothing ever moves. So a writer that serves more than its share lets go of the surplus: it
//! closes the channel and subscribes anew, behind the others.

/// How many partitions a writer should let go of.
///
/// `active` is what it serves now, `writers` how many processes subscribe, itself included.
#[must_use]
pub fn surplus(active: usize, partitions: usize, writers: usize) -> usize {
    let share = partitions.div_ceil(writers.max(1));
    active.saturating_sub(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_writer_keeps_everything() {
        assert_eq!(surplus(16, 16, 1), 0);
        assert_eq!(surplus(16, 16, 0), 0);
    }

    #[test]
    fn newcomers_get_their_share_and_it_settles() {
        assert_eq!(surplus(16, 16, 3), 10);
        assert_eq!(surplus(6, 16, 3), 0);
        assert_eq!(surplus(4, 16, 3), 0);
        // More writers than partitions: one each, the others wait.
        assert_eq!(surplus(1, 2, 5), 0);
    }
}
