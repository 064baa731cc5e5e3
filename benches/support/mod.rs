//! What every bench needs: its arguments, tables, and saved tokens to begin with.

use std::time::Duration;

use tokenhive::model::Seconds;
use tokenhive::{OAuthToken, ProviderBuilder, Scope, Secret, catalogue};

/// True with `--quick`: fewer and shorter rounds, to see that the bench works.
/// `cargo bench` adds `--bench`, which says nothing here.
pub fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}

/// Prints a Markdown table, aligned for reading as it is.
pub fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    });
    let line = |cells: [&str; COLUMNS]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} "));
        println!("|{}|", padded.collect::<Vec<_>>().join("|"));
    };
    line(head);
    println!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"));
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
    println!();
}

/// The provider `sim` at `base`: a simulator's address, or one where nobody listens.
pub fn provider(base: &str) -> ProviderBuilder {
    let (authorize, token) = (format!("{base}/authorize"), format!("{base}/token"));
    catalogue::generic("sim", "tokenhive", authorize, token)
        .client_secret("simulator-secret")
        .redirect_url("http://127.0.0.1:9/callback")
}

/// A token as an application saves it, of which the access token lives for another `lifetime`.
pub fn saved(access_token: Secret, refresh_token: Secret, lifetime: Duration) -> String {
    let seconds = |span: Duration| Seconds::Float(span.as_secs_f64());
    let since_epoch = tokenhive::model::Clock::now(&tokenhive::model::SystemClock).as_millis();
    let now = Duration::from_millis(u64::try_from(since_epoch).unwrap_or(0));
    let token = OAuthToken {
        access_token,
        scope: Some(Scope::Text("read write".to_owned())),
        token_type: Some("Bearer".to_owned()),
        expires_in: Some(seconds(lifetime)),
        expires_at: Some(seconds(now + lifetime)),
        refresh_token: Some(refresh_token),
    };
    token.to_json()
}
