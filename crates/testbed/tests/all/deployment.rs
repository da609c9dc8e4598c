//! What is deployed around the services: the Kubernetes manifests and Prometheus's rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use testbed::{
    binaries::workspace,
    program::{INSTALL_LIMIT, run},
    python::Python,
};
use tokio::process::Command;

/// What is applied by itself, below `deploy/kubernetes`.
const FOLDERS: [&str; 7] = [
    "settings",
    "gateway-ingest",
    "cache-writer",
    "command-router",
    "overlays/all",
    "overlays/ordinals",
    "overlays/simulator",
];
const COMPONENTS: [&str; 3] = ["pod-monitor", "keda", "hpa"];
/// Settings that come from a Secret, never from the manifest.
const SECRETS: [&str; 3] = ["BOT_TOKEN", "RABBIT_URL", "REDIS_URL"];
const SERVICES: [&str; 3] = ["gateway-ingest", "cache-writer", "command-router"];

fn kubernetes() -> PathBuf {
    workspace().join("deploy/kubernetes")
}

/// Names in `.env.example`, which another test holds against the settings that exist.
fn settings() -> BTreeSet<String> {
    let example = fs::read_to_string(workspace().join(".env.example")).unwrap();
    let name = |line: &str| Some(line.split_once('=')?.0.to_owned());
    example.lines().filter_map(name).collect()
}

/// An overlay with the services and one component, as a user would write it.
fn overlay_with(component: &str, scratch: &Path) -> String {
    let folder = scratch.join(component);
    fs::create_dir(&folder).unwrap();
    let to = |path: &str| {
        // Kustomize takes no absolute paths.
        let up = "../".repeat(folder.components().count() - 1);
        format!(
            "{up}{}",
            kubernetes()
                .join(path)
                .display()
                .to_string()
                .trim_start_matches('/')
        )
    };
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - {}\ncomponents:\n  - {}\n",
        to("overlays/all"),
        to(&format!("components/{component}"))
    );
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder.display().to_string()
}

/// Every folder with what it renders to; each object is valid for three minor versions of Kubernetes.
async fn rendered() -> BTreeMap<String, Vec<Value>> {
    let scratch = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/deployment");
    let requirements = here.join("requirements.txt");
    let python = Python::with_packages(scratch.path(), &requirements).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = python.command(&here.join("manifests.py"));
    let scratch = scratch.path().canonicalize().unwrap();
    command.args(FOLDERS.map(|folder| kubernetes().join(folder)));
    command.args(COMPONENTS.map(|component| overlay_with(component, &scratch)));
    let output = run(&mut command, INSTALL_LIMIT).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_valid_and_agree_with_the_services() {
    let rendered = rendered().await;
    let settings = settings();
    let of = |folder: &str| &rendered[&kubernetes().join(folder).display().to_string()];

    let config = named(of("settings"), "ConfigMap", "dispatch-settings");
    for (name, value) in config["data"].as_object().unwrap() {
        assert!(settings.contains(name), "{name} is no setting");
        assert!(value.is_string(), "{name}");
    }
    for service in SERVICES {
        let objects = of(service);
        let deployment = named(objects, "Deployment", service);
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let env = container["env"].as_array().unwrap();
        for entry in env {
            let name = entry["name"].as_str().unwrap();
            assert!(settings.contains(name), "{service}: {name} is no setting");
            let secret = SECRETS.contains(&name);
            let by_reference = entry["valueFrom"]["secretKeyRef"].is_object();
            assert_eq!(secret, by_reference, "{service}: {name}");
        }
        let port = env
            .iter()
            .find(|entry| entry["name"] == "PROMETHEUS_PORT")
            .unwrap();
        let listens = container["ports"][0]["containerPort"].as_u64().unwrap();
        assert_eq!(port["value"], listens.to_string(), "{service}");
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{service}");
            assert_eq!(
                container[probe]["httpGet"]["port"],
                container["ports"][0]["name"]
            );
        }
        let policy = &named(objects, "NetworkPolicy", service)["spec"];
        assert_eq!(
            policy["ingress"][0]["ports"][0]["port"], container["ports"][0]["name"],
            "{service}"
        );
        let egress = policy["egress"].as_array().unwrap().iter();
        let ports: BTreeSet<_> = egress
            .flat_map(|rule| rule["ports"].as_array().unwrap())
            .filter_map(|port| port["port"].as_u64())
            .collect();
        let expected: &[u64] = match service {
            "command-router" => &[53, 5671, 5672, 6379, 6380],
            _ => &[53, 443, 5671, 5672, 6379, 6380],
        };
        assert!(ports.iter().eq(expected), "{service}: {ports:?}");
        // Longer than the drain of at most 10 s.
        assert!(
            pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 10,
            "{service}"
        );
        restricted(service, pod);
        for spread in pod["topologySpreadConstraints"].as_array().unwrap() {
            let chosen = &spread["labelSelector"]["matchLabels"]["app.kubernetes.io/name"];
            assert_eq!(chosen, service, "it is spread beside other pods");
        }
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (kind, selector) in [
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ("Deployment", "/spec/selector/matchLabels"),
        ] {
            let chosen = named(objects, kind, service).pointer(selector).unwrap();
            for (label, value) in chosen.as_object().unwrap() {
                assert_eq!(&labels[label], value, "{kind} {service} selects other pods");
            }
        }
    }
    let ordinals = named(of("overlays/ordinals"), "StatefulSet", "gateway-ingest");
    let env = &ordinals["spec"]["template"]["spec"]["containers"][0]["env"];
    let value = |name: &str| {
        let of = |entry: &&Value| entry["name"] == name;
        env.as_array().unwrap().iter().find(of).unwrap()
    };
    let parts = &value("SHARDS_REPLICAS")["value"];
    assert_eq!(*parts, ordinals["spec"]["replicas"].to_string());
    let ordinal = &value("SHARDS_ORDINAL")["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(ordinal, "metadata.name");
    for name in names(env) {
        assert!(settings.contains(name), "{name} is no setting");
    }
    let service = named(of("overlays/ordinals"), "Service", "gateway-ingest");
    assert_eq!(service["metadata"]["name"], ordinals["spec"]["serviceName"]);
    let simulated = of("overlays/simulator");
    let simulator = &named(simulated, "Deployment", "discord-sim")["spec"]["template"]["spec"];
    restricted("discord-sim", simulator);
    let known = fs::read_to_string(workspace().join("crates/discord-sim/src/args.rs")).unwrap();
    for name in names(&simulator["containers"][0]["env"]) {
        let declared = format!("env = \"{name}\"");
        assert!(known.contains(&declared), "the simulator reads no {name}");
    }
    let config = named(simulated, "ConfigMap", "dispatch-settings");
    assert_eq!(config["data"]["DISCORD_API_URL"], "http://discord-sim:7080");
    let with = |component: &str| {
        let mut folders = rendered.iter();
        let found = folders.find(|(folder, _)| folder.ends_with(component));
        found.unwrap().1
    };
    scraped(with("pod-monitor"));
    let documented = fs::read_to_string(workspace().join("deploy/README.md")).unwrap();
    let metric = "writer_queue_lag";
    assert!(documented.contains(&format!("| `{metric}` |")));
    let trigger = &named(with("keda"), "ScaledObject", "cache-writer")["spec"]["triggers"][0];
    let query = trigger["metadata"]["query"].as_str().unwrap();
    assert!(query.contains(metric), "{query}");
    let autoscaler = named(with("hpa"), "HorizontalPodAutoscaler", "cache-writer");
    let external = &autoscaler["spec"]["metrics"][0]["external"]["metric"];
    assert_eq!(external["name"], metric);
    for scaled in ["keda", "hpa"] {
        let objects = with(scaled);
        let writer = named(objects, "Deployment", "cache-writer");
        assert!(
            writer["spec"].get("replicas").is_none(),
            "{scaled}: two would set the replicas"
        );
    }
}

/// The monitor chooses each service's pods, and asks them where they answer.
fn scraped(objects: &[Value]) {
    let spec = &named(objects, "PodMonitor", "dispatch")["spec"];
    let endpoint = &spec["podMetricsEndpoints"][0];
    assert_eq!(endpoint["path"], "/metrics");
    let chosen = &spec["selector"]["matchExpressions"][0]["values"];
    for service in SERVICES {
        let template = &named(objects, "Deployment", service)["spec"]["template"];
        let labels = &template["metadata"]["labels"];
        let (label, value) = (
            "app.kubernetes.io/part-of",
            &spec["selector"]["matchLabels"]["app.kubernetes.io/part-of"],
        );
        assert_eq!(labels[label], *value, "{service}");
        let name = &labels["app.kubernetes.io/name"];
        assert!(chosen.as_array().unwrap().contains(name), "{service}");
        let port = &template["spec"]["containers"][0]["ports"][0]["name"];
        assert_eq!(endpoint["port"], *port, "{service}");
    }
}

/// Holds a pod against the Pod Security Standard `restricted`.
fn restricted(service: &str, pod: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{service}");
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
        "{service}"
    );
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false, "{service}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{service}");
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{service}");
        let resources = &container["resources"];
        for amount in ["/limits/memory", "/requests/memory", "/requests/cpu"] {
            let given = resources.pointer(amount);
            assert!(given.is_some_and(Value::is_string), "{service}: {amount}");
        }
    }
}

/// docker-compose 1.29 reads it too: it refuses a file with a key at the top that it doesn't know, such as `name`.
#[test]
fn the_compose_file_has_no_newer_parts() {
    const KNOWN: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];
    let compose = fs::read_to_string(workspace().join("docker-compose.yml")).unwrap();
    let keys = compose.lines().filter_map(|line| line.split_once(':'));
    let top = keys
        .map(|(key, _)| key)
        .filter(|key| !key.starts_with([' ', '#']));
    for key in top {
        assert!(KNOWN.contains(&key) || key.starts_with("x-"), "{key}");
    }
    // Of a service or a build, by what came after it.
    for newer in [
        "pull_policy:",
        "additional_contexts:",
        "develop:",
        "required:",
        "!reset",
    ] {
        assert!(!compose.contains(newer), "{newer}");
    }
}

/// The rules are right, and each alert fires where it should.
#[tokio::test]
async fn alerts_pass_their_own_tests() {
    let folder = workspace().join("deploy/observability");
    for args in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        promtool.args(args).current_dir(&folder);
        let output = run(&mut promtool, INSTALL_LIMIT).await;
        let output = output.expect("promtool (of Debian's package prometheus)");
        let printed = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&printed)
        );
    }
}

/// Every alert has a test that has it fire, and says what to do.
#[test]
fn every_alert_is_tested_and_explained() {
    let folder = workspace().join("deploy/observability");
    let rules = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let tests = fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let fires = format!("labels: 'ALERTS{{alertname=\"{name}\"");
        assert!(tests.contains(&fires), "no test has {name} fire");
        for part in ["severity:", "summary:", "action:"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
}
