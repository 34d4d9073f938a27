//! `sluice demo`: a gateway with two echo upstreams in one process, and requests to try.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{echo, fail, print, run};

/// Port that the demo listens on.
const PORT: u16 = 8080;

pub(super) fn run() -> ExitCode {
    match prepare() {
        Ok(folder) => run::start(vec![folder], None, true),
        Err(error) => fail(&format!("cannot set up the demo: {error}")),
    }
}

/// Starts the upstreams, writes the configuration and says where it is.
fn prepare() -> io::Result<PathBuf> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let shop = echo::serve(any_port, "shop".to_owned())?.address;
    let cart = echo::serve(any_port, "cart".to_owned())?.address;
    let folder = std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("demo.yaml"), config(shop, cart))?;
    let try_these = format!(
        "Sluice listens on http://127.0.0.1:{PORT}, its operator's port is http://127.0.0.1:15000\n\
         The configuration is {}/demo.yaml; change it and send SIGHUP to {}\n\nTry:\n\
         \u{20} curl -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/items\n\
         \u{20} curl -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/cart/7\n\
         \u{20} curl -i -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/old\n\
         \u{20} curl -i -H 'Host: other.example.com' http://127.0.0.1:{PORT}/\n\
         \u{20} for n in 1 2 3 4 5 6; do curl -i -H 'Host: shop.example.com' http://127.0.0.1:{PORT}/items; done   # 5 in 10 s\n\
         \u{20} curl http://127.0.0.1:15000/config_dump\n\n",
        folder.display(),
        std::process::id()
    );
    print(&try_these);
    Ok(folder)
}

fn config(shop: SocketAddr, cart: SocketAddr) -> String {
    let entry = |name: &str, address: SocketAddr| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}.internal]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{{address: {}, ports: {{http: {}}}}}]\n",
            address.ip(),
            address.port()
        )
    };
    format!("{}{}{}", include_str!("demo.yaml"), entry("shop", shop), entry("cart", cart))
}
