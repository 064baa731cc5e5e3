//! A `redis-server` in a container that only this machine can reach.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testcontainers::core::IntoContainerPort as _;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{
    ContainerAsync, ContainerRequest, CopyTargetOptions, GenericImage, ImageExt as _,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::OnceCell;

use super::process::Watchdog;
use super::until;

/// What `tests/redis-image.sh` makes.
pub const IMAGE: &str = "tokenhive-redis:7";

/// Where a server with a network of its own listens there.
pub const INNER_PORT: u16 = 6379;

/// Every container counts its processes from here.
pub const INNER_PID: u32 = 1;

/// Where the server keeps its data.
pub const FOLDER: &str = "/data";

/// An engine that has not answered by then is none.
const ENGINE_ANSWERS: Duration = Duration::from_secs(10);

/// After that the engine kills it.
const SECONDS_TO_END: i32 = 30;

/// How the server is reached.
#[derive(Debug, Clone, Copy)]
pub enum Network {
    /// The engine forwards a port of 127.0.0.1 to the container's own network.
    Forwarded,
    /// The server listens on 127.0.0.1 itself, and its peers find it where clients do.
    Host,
}

/// A container that runs or was killed. Dropping it removes it and its data.
pub struct Container {
    name: String,
    /// Empty only while it is dropped.
    inner: Option<ContainerAsync<GenericImage>>,
    /// Removes what is left: by a start that failed, or by a test process that is gone.
    _watchdog: Watchdog,
}

impl Container {
    /// Starts `redis-server` with `args`. It may rewrite `file`, a name in its folder and a content.
    pub async fn start(
        network: Network,
        port: u16,
        args: Vec<String>,
        file: Option<(&str, &str)>,
    ) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tokenhive-test-{}-{number}", std::process::id());
        let watchdog = Watchdog::over(&["docker", "rm", "--force", "--volumes", &name]);
        let command = std::iter::once("redis-server".to_owned()).chain(args);
        let mut request = on_loopback(network, port).with_container_name(&name).with_cmd(command);
        if let Some((file, content)) = file {
            let target = CopyTargetOptions::new(format!("{FOLDER}/{file}")).with_mode(0o666);
            request = request.with_copy_to(target, content.as_bytes().to_vec());
        }
        let inner = request.start().await.map_err(|error| error.to_string())?;
        Ok(Self { name, inner: Some(inner), _watchdog: watchdog })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn is_alive(&self) -> bool {
        self.inner().is_running().await.unwrap()
    }

    /// What its server has said so far.
    pub async fn log(&self) -> String {
        let said = self.inner().stdout_to_vec().await.unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    pub async fn pause(&self) {
        self.inner().pause().await.unwrap();
    }

    pub async fn resume(&self) {
        self.inner().unpause().await.unwrap();
    }

    /// Ends it with SIGKILL, if it still runs.
    pub async fn kill(&self) {
        if self.is_alive().await {
            let docker = docker_client_instance().await.unwrap();
            docker.kill_container(&self.name, None).await.unwrap();
            until("it has ended", async || (!self.is_alive().await).then_some(())).await;
        }
    }

    /// Has its server write what it has to and end.
    pub async fn end(&self) {
        // Fails when it is not paused, as it should be.
        let _ = self.inner().unpause().await;
        self.inner().stop_with_timeout(Some(SECONDS_TO_END)).await.unwrap();
    }

    pub async fn start_again(&self) {
        self.inner().start().await.unwrap();
    }

    fn inner(&self) -> &ContainerAsync<GenericImage> {
        self.inner.as_ref().expect("the container is being dropped")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It takes a runtime to drop it, which the test may have left before.
        let own = Handle::try_current().is_err().then(|| Builder::new_current_thread().build());
        let _inside = own.as_ref().map(|own| own.as_ref().expect("a runtime starts").enter());
        drop(self.inner.take());
    }
}

fn on_loopback(network: Network, port: u16) -> ContainerRequest<GenericImage> {
    let (name, tag) = IMAGE.split_once(':').expect("the image has a tag");
    let image = GenericImage::new(name, tag);
    match network {
        // Without an address the port would be open to every network of this machine.
        Network::Forwarded => {
            image.with_mapped_port(port, INNER_PORT.tcp()).with_host_config_modifier(|host| {
                let ports = host.port_bindings.iter_mut().flat_map(|ports| ports.values_mut());
                for binding in ports.flatten().flatten() {
                    binding.host_ip = Some("127.0.0.1".to_owned());
                }
            })
        }
        Network::Host => image.with_host_config_modifier(|host| {
            host.network_mode = Some("host".to_owned());
            host.publish_all_ports = Some(false);
        }),
    }
}

/// Whether an engine answers and has the image, which is in no registry.
pub async fn image_is_there() -> bool {
    static THERE: OnceCell<bool> = OnceCell::const_new();
    let look = async {
        let docker = docker_client_instance().await.ok()?;
        docker.inspect_image(IMAGE).await.ok()
    };
    let look = async || matches!(tokio::time::timeout(ENGINE_ANSWERS, look).await, Ok(Some(_)));
    *THERE.get_or_init(look).await
}
