//! A connection to the server that counts: single, the master of sentinels, or a cluster.

use std::sync::{Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _, TlsMode};

use super::breaker::PROBE_TIME;
use super::failure::Failure;
use super::terms::{Servers, Terms};

/// A connection; commands are sent without waiting for those before.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    One(MultiplexedConnection),
    /// To those that hold the slots.
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) async fn connect(terms: &Terms) -> Result<Self, Failure> {
        Self::open(terms).await.map_err(|error| {
            log::debug!("no connection to Redis: {error}");
            Failure::of(&error)
        })
    }

    async fn open(terms: &Terms) -> redis::RedisResult<Self> {
        // The deadline of each question stands above; this one only ends what nobody waits for.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PROBE_TIME))
            .set_response_timeout(Some(PROBE_TIME));
        match &terms.servers {
            Servers::One(node) => {
                let info = info(terms, node)?;
                let client = match terms.certificates() {
                    Some(certificates) => Client::build_with_tls(info, certificates)?,
                    None => Client::open(info)?,
                };
                Ok(Self::One(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Servers::Sentinel { nodes, master } => {
                let mut client = sentinel(terms, nodes, master)?;
                Ok(Self::One(client.get_async_connection_with_config(&config).await?))
            }
            Servers::Cluster(nodes) => {
                let nodes = nodes.iter().map(|it| info(terms, it)).collect::<redis::RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(nodes)
                    .connection_timeout(PROBE_TIME)
                    .response_timeout(PROBE_TIME)
                    .overall_response_timeout(Some(PROBE_TIME));
                if let Some(certificates) = terms.certificates() {
                    builder = builder.certs(certificates);
                }
                Ok(Self::Cluster(builder.build()?.get_async_connection().await?))
            }
        }
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        self.try_send(command).await.map_err(|error| {
            log::debug!("Redis: {error}");
            Failure::of(&error)
        })
    }

    /// Sends commands together and waits for their answers.
    pub(super) async fn pipeline<T: FromRedisValue>(&mut self, commands: &redis::Pipeline) -> Result<T, Failure> {
        let answer = match self {
            Self::One(it) => commands.query_async(it).await,
            Self::Cluster(it) => commands.query_async(it).await,
        };
        answer.map_err(|error| Failure::of(&error))
    }

    /// The same, with the error of the client library.
    pub(super) async fn try_send<T: FromRedisValue>(&mut self, command: &Cmd) -> redis::RedisResult<T> {
        match self {
            Self::One(it) => command.query_async(it).await,
            Self::Cluster(it) => command.query_async(it).await,
        }
    }
}

/// A connection that is kept between questions, and made anew when there is none.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Link>>);

impl Kept {
    /// The connection.
    pub(super) async fn get(&self, terms: &Terms) -> Result<Link, Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(link) = known {
            return Ok(link);
        }
        let link = Link::connect(terms).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        Ok(link)
    }

    /// Makes the next question go over a new one.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn info(terms: &Terms, url: &str) -> redis::RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &terms.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &terms.password {
        settings = settings.set_password(password);
    }
    let mut address = info.addr().clone();
    if terms.tls.as_ref().is_some_and(|it| it.insecure)
        && let redis::ConnectionAddr::TcpTls { insecure, .. } = &mut address
    {
        *insecure = true;
    }
    Ok(info.set_addr(address).set_redis_settings(settings))
}

fn sentinel(terms: &Terms, nodes: &[String], master: &str) -> redis::RedisResult<SentinelClient> {
    let nodes = nodes.iter().map(|it| info(terms, it)).collect::<redis::RedisResult<Vec<_>>>()?;
    let settings = nodes.first().map(|it| it.redis_settings().clone()).unwrap_or_default();
    let is_secure = nodes.iter().any(|it| matches!(it.addr(), redis::ConnectionAddr::TcpTls { .. }));
    let addresses: Vec<_> = nodes.iter().map(|it| it.addr().clone()).collect();
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(settings.db());
    if let Some(username) = settings.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some((username, password)) = &terms.sentinel_login {
        if !username.is_empty() {
            builder = builder.set_client_to_sentinel_username(username);
        }
        builder = builder.set_client_to_sentinel_password(password);
    }
    if is_secure {
        let insecure = terms.tls.as_ref().is_some_and(|it| it.insecure);
        let mode = if insecure { TlsMode::Insecure } else { TlsMode::Secure };
        builder = builder.set_client_to_redis_tls_mode(mode).set_client_to_sentinel_tls_mode(mode);
        if let Some(certificates) = terms.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
    }
    builder.build()
}
