//! The operator's socket: `POST /backup` over a Unix-domain socket in the data directory, in a directory of mode 0700.
//!
//! Nobody but the owner of the data reaches it: there is no port, and no token to keep. Without it (a system that has no
//! such sockets, or a path that is too long for one) the validator serves all the same, and backups are made while it is stopped.

use std::path::{Path, PathBuf};

use shared::ids::NetworkId;

#[cfg(unix)]
pub(super) use unix::ask;
#[cfg(unix)]
pub use unix::operate;

#[cfg(not(unix))]
pub(super) use elsewhere::ask;
#[cfg(not(unix))]
pub use elsewhere::operate;

/// The socket of the validator `id` over a data directory.
#[must_use]
pub fn socket(data: &Path, id: &NetworkId) -> PathBuf {
    data.join(format!("validator_{id}.ops")).join("socket")
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use axum::extract::State;
    use axum::http::StatusCode;
    use axum::routing::post;
    use axum::{Json, Router};
    use serde::{Deserialize, Serialize};
    use service::Problem;
    use tokio::net::UnixListener;
    use tokio::sync::Semaphore;

    use super::super::{BackupError, Copied, copy};
    use crate::http::App;
    use crate::store::Wanted;

    /// `POST /backup`.
    #[derive(Debug, Serialize, Deserialize)]
    struct Asked {
        /// The directory to make, absolute.
        to: PathBuf,
    }

    #[derive(Debug)]
    struct Operator {
        app: Arc<App>,
        /// One copy at a time.
        room: Semaphore,
    }

    /// Takes the socket at once, so that it is there when the validator says that it serves; serves the operator until the
    /// validator ends.
    pub fn operate(app: Arc<App>, socket: PathBuf) -> impl Future<Output = ()> + Send {
        let listener = listen(&socket);
        async move {
            let served = match listener {
                Ok(listener) => serve(app, listener).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(socket = %socket.display(), %error, "no backups while this validator runs");
            }
            // A next start replaces it anyway.
            let _ = std::fs::remove_file(&socket);
        }
    }

    async fn serve(app: Arc<App>, listener: UnixListener) -> io::Result<()> {
        let mut ending = app.ending.clone();
        let ended = async move {
            // An error means that the sender is gone: the validator has ended.
            let _ = ending.wait_for(|ending| *ending).await;
        };
        let room = Semaphore::new(1);
        let router = Router::new()
            .route("/backup", post(backup))
            .with_state(Arc::new(Operator { app, room }));
        let served = axum::serve(listener, router);
        served.with_graceful_shutdown(ended).await
    }

    /// Takes the socket; one that a killed validator left is replaced, as the store is ours.
    fn listen(socket: &Path) -> io::Result<UnixListener> {
        let directory = socket.parent().unwrap_or(socket);
        let made = std::fs::DirBuilder::new().mode(0o700).create(directory);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        UnixListener::bind(socket)
    }

    async fn backup(
        State(operator): State<Arc<Operator>>,
        Json(asked): Json<Asked>,
    ) -> Result<Json<Copied>, Problem> {
        let _room = operator.room.try_acquire().map_err(|_| {
            let detail = "another backup is being made";
            Problem::new(StatusCode::CONFLICT, "busy", detail)
        })?;
        if !asked.to.is_absolute() {
            let detail = "the directory is named by its whole path";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-path", detail));
        }
        let app = Arc::clone(&operator.app);
        let made = tokio::task::spawn_blocking(move || {
            let wanted = || match *app.ending.borrow() {
                true => Wanted::No,
                false => Wanted::Yes,
            };
            let copied = copy(&app.store, &app.id, &asked.to, wanted);
            copied.inspect(|copied| {
                tracing::info!(directory = %asked.to.display(), height = copied.height, "copied");
            })
        });
        let made = made.await.map_err(|error| Problem::internal(&error))?;
        // The asker owns the data, so it is told what happened.
        made.map(Json).map_err(|error| {
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(code, "backup-failed", error.to_string())
        })
    }

    /// Asks a running validator for a copy; none when there is no running one.
    pub(in super::super) async fn ask(
        socket: &Path,
        to: &Path,
    ) -> Option<Result<Copied, BackupError>> {
        let refused = |error: &dyn std::fmt::Display| BackupError::Refused(error.to_string());
        let client = match reqwest::Client::builder().unix_socket(socket).build() {
            Ok(client) => client,
            Err(error) => return Some(Err(refused(&error))),
        };
        let asked = Asked { to: to.to_owned() };
        let request = client.post("http://validator/backup").json(&asked);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return None,
            Err(error) => return Some(Err(refused(&error))),
        };
        let answer = if response.status().is_success() {
            let copied = response.json::<Copied>().await;
            copied.map_err(|error| refused(&error))
        } else {
            let problem = response.json::<api::ProblemBody>().await;
            Err(problem.map_or_else(|error| refused(&error), |problem| refused(&problem.detail)))
        };
        Some(answer)
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::super::{BackupError, Copied};
    use crate::http::App;

    /// There are no such sockets here.
    pub async fn operate(_app: Arc<App>, _socket: PathBuf) {}

    pub(in super::super) async fn ask(
        _socket: &Path,
        _to: &Path,
    ) -> Option<Result<Copied, BackupError>> {
        None
    }
}
