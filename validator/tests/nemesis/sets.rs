//! The set changes while real processes serve: a validator that was alone is joined by a second, and lets it go on alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{PROGRAM, free_port};
use crate::load::{History, Writer};

struct Validator {
    name: &'static str,
    home: PathBuf,
    port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Validator {
    fn new(folder: &Path, name: &'static str) -> Self {
        let home = folder.join(name);
        std::fs::create_dir_all(&home).unwrap();
        Self {
            name,
            home,
            port: free_port(),
            peer_port: free_port(),
            process: None,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn links(&self) -> String {
        format!("127.0.0.1:{}", self.peer_port)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--id", self.name, "--data"]).arg(&self.home);
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
        output
    }

    async fn start(&mut self, arguments: &[&str]) {
        let mut log = File::options();
        let log = log.create(true).append(true);
        let log = log.open(self.home.join("log")).unwrap();
        let port = self.port.to_string();
        let mut command = self.command(&["--port", &port]);
        command.args(arguments).stdout(log.try_clone().unwrap());
        self.process = Some(command.stderr(log).spawn().unwrap());
        self.eventually("it serves", |status| status["height"].is_u64())
            .await;
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    async fn get(&self, path: &str) -> Value {
        match reqwest::get(format!("{}{path}", self.url())).await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        for _ in 0..600 {
            if holds(&self.get("/api/status").await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
        let (name, status) = (self.name, self.get("/api/status").await);
        panic!("{name}: not in half a minute: {what}; {status}\n{log}");
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

async fn height(validator: &Validator) -> u64 {
    validator.get("/api/status").await["height"]
        .as_u64()
        .unwrap()
}

/// Blocks that are acknowledged by `validator` are in the chain soon.
async fn write(writer: &mut Writer, validator: &Validator, history: &History) {
    let before = height(validator).await;
    for _ in 0..200 {
        if writer.send(&validator.url(), history).await {
            let decided = |status: &Value| status["height"].as_u64() > Some(before);
            return validator.eventually("it is decided", decided).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} acknowledges nothing", validator.name);
}

/// What the validator says when it refuses the change in a file.
fn refusal(validator: &Validator, file: &str) -> String {
    let submit = ["set-change", "submit", "--to", &validator.url(), file];
    let output = validator.command(&submit).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Restarts a validator that was alone so that a second can follow it.
async fn open_up(one: &mut Validator, two: &mut Validator, key: &str) {
    one.stop();
    let network = text(&one.run(&["--peer-bind", &one.links(), "open-up"]));
    two.run(&["--genesis", &network, "adopt"]);
    let to_two = format!("{key}={}", two.links());
    let links = one.links();
    one.start(&["--peer-bind", &links, "--peers", &to_two])
        .await;
    start_second(two, one).await;
    two.eventually("it follows", |status| status["height"] == 1)
        .await;
    assert_eq!(two.get("/api/status").await["consensus"]["votes"], false);
}

async fn start_second(two: &mut Validator, one: &Validator) {
    let (links, to_one) = (two.links(), format!("one={}", one.links()));
    two.start(&["--peer-bind", &links, "--peers", &to_one])
        .await;
}

/// Both sign, apart from each other, that the first goes.
fn let_the_first_go(one: &Validator, two: &Validator, file: &str) {
    let (url, copy) = (two.url(), format!("{file}.copy"));
    two.run(&["set-change", "make", "--to", &url, "--remove", "one", file]);
    std::fs::copy(file, &copy).unwrap();
    one.run(&["set-change", "sign", file]);
    assert!(refusal(one, file).contains("1 signatures"));
    two.run(&["set-change", "sign", &copy]);
    two.run(&["set-change", "merge", file, &copy]);
    two.run(&["set-change", "submit", "--to", &url, file]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_was_alone_is_joined_by_a_second_which_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (
        Validator::new(folder.path(), "one"),
        Validator::new(folder.path(), "two"),
    );
    let (mut writer, history) = (Writer::new(1), History::default());
    let file = folder.path().join("change.json");
    let file = file.to_str().unwrap();

    one.start(&[]).await;
    write(&mut writer, &one, &history).await;
    let key = text(&two.run(&["keygen"]));
    let (url, add) = (one.url(), format!("two={key}"));
    one.run(&["set-change", "make", "--to", &url, "--add", &add, file]);
    one.run(&["set-change", "sign", file]);
    // Alone it takes no links, so that nobody could join it.
    assert!(refusal(&one, file).contains("--peer-bind"));
    open_up(&mut one, &mut two, &key).await;
    write(&mut writer, &one, &history).await;

    one.run(&["set-change", "submit", "--to", &url, file]);
    write(&mut writer, &two, &history).await;
    write(&mut writer, &one, &history).await;
    for validator in [&one, &two] {
        let votes = |status: &Value| {
            let consensus = &status["consensus"];
            consensus["votes"] == true && consensus["quorum"] == 2
        };
        validator.eventually("it votes as one of two", votes).await;
        let names = validator.get("/api/status").await["active_validators"].clone();
        assert_eq!(names.as_array().unwrap().len(), 2);
    }
    // What was decided is not decided again.
    assert!(refusal(&one, file).contains("set change 1, the next one is 2"));

    let_the_first_go(&one, &two, file);
    // The change acts at the second height after its block.
    write(&mut writer, &two, &history).await;
    one.stop();
    let is_alone = |status: &Value| status["consensus"]["quorum"] == 1;
    two.eventually("it decides alone", is_alone).await;
    write(&mut writer, &two, &history).await;

    // What was acknowledged is there, over a restart, and the chain verifies through both changes.
    two.stop();
    two.run(&["verify"]);
    start_second(&mut two, &one).await;
    write(&mut writer, &two, &history).await;
    let listed = two.get("/api/transactions?limit=100").await.to_string();
    for id in history.acknowledged() {
        assert!(listed.contains(&id), "{id} is lost");
    }
}
