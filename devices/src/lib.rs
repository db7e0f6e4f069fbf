//! What a user recognises a session by, from the request of a login: "Firefox on Linux", and its address.

use std::net::{IpAddr, Ipv6Addr};

use dynamodb_web_session::{Device, MAX_LABEL_BYTES};
use http::HeaderMap;
use serde_json::json;

/// Where a request comes from. All of it is what the client says, except the address.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `Sec-CH-UA`: browsers that name another one in `User-Agent` tell it here (User-Agent Client Hints, section 3.1).
    pub brands: Option<String>,
    /// `Sec-CH-UA-Platform`.
    pub platform: Option<String>,
    /// The address of the client, behind the proxies that the framework trusts.
    pub address: Option<String>,
}

impl Client {
    /// The client of a request with these headers, from this address.
    #[must_use]
    pub fn of(headers: &HeaderMap, address: Option<IpAddr>) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            user_agent: header("user-agent"),
            brands: header("sec-ch-ua"),
            platform: header("sec-ch-ua-platform"),
            address: address.map(|address| address.to_string()),
        }
    }

    /// The browser and its system as a label, and the address as `{"address":"192.0.2.1"}`. Of an IPv6 address only the network
    /// is kept: the rest of it changes every day. What is not known is left out.
    #[must_use]
    pub fn device(&self) -> Device {
        let mut device = Device::default();
        if let Some(label) = self.label()
            && let Ok(labelled) = device.clone().with_label(shortened(&label))
        {
            device = labelled;
        }
        if let Some(address) = self.address.as_deref().and_then(network)
            && let Ok(placed) = device.clone().with_context(json!({ "address": address }).to_string())
        {
            device = placed;
        }
        device
    }

    fn label(&self) -> Option<String> {
        let parsed = woothee::parser::Parser::new().parse(self.user_agent.as_deref().unwrap_or_default());
        let known = |name: &str| Some(name.to_owned()).filter(|name| name != "UNKNOWN");
        let browser = self.brand().or_else(|| match &parsed {
            Some(parsed) if parsed.category == "misc" => known(parsed.version), // a program, such as curl
            Some(parsed) => known(parsed.name),
            None => None,
        });
        let hinted = self.platform.as_deref().map(|platform| platform.trim_matches('"').to_owned());
        let system = hinted.filter(|name| !name.is_empty() && name != "Unknown").or_else(|| {
            parsed.as_ref().and_then(|parsed| known(parsed.os)).map(|name| match name.as_str() {
                "Mac OSX" => "macOS".to_owned(),
                name if name.starts_with("Windows") => "Windows".to_owned(), // 11 says that it is 10
                name => name.to_owned(),
            })
        });
        match (browser, system) {
            (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
            (browser, system) => browser.or(system),
        }
    }

    /// The brand that is neither the engine nor made up to keep servers from guessing, such as `Not/A)Brand`.
    fn brand(&self) -> Option<String> {
        let quoted = self.brands.as_deref()?.split('"').skip(1).step_by(2);
        let names = quoted.filter(|text| text.contains(char::is_alphabetic)); // the others are versions
        let brand = names.filter(|name| *name != "Chromium" && !name.starts_with("Not")).last()?;
        Some(brand.trim_start_matches("Google ").trim_start_matches("Microsoft ").to_owned())
    }
}

/// At most as long as a label may be.
fn shortened(label: &str) -> &str {
    &label[..label.floor_char_boundary(MAX_LABEL_BYTES)]
}

fn network(address: &str) -> Option<String> {
    match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(user_agent: &str) -> Option<String> {
        let client = Client { user_agent: Some(user_agent.into()), ..Client::default() };
        client.device().label().map(str::to_owned)
    }

    #[test]
    fn a_label_names_the_browser_and_its_system() {
        for (user_agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.6367.88 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.5.0", "curl"),
        ] {
            assert_eq!(label(user_agent).as_deref(), Some(expected));
        }
        for unknown in ["", "x", "<script>alert(1)</script>", "\u{202e}\n"] {
            assert_eq!(label(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn client_hints_go_before_the_user_agent() {
        let client = |brands: &str, platform: &str| {
            Client {
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36".into()),
            brands: Some(brands.into()),
            platform: Some(platform.into()),
            address: None,
        }
        };
        for (brands, platform, expected) in [
            (r#""Chromium";v="124", "Brave";v="124", "Not-A.Brand";v="99""#, r#""Linux""#, "Brave on Linux"),
            (
                r#""Microsoft Edge";v="124", "Not(A:Brand";v="8", "Chromium";v="124""#,
                r#""Windows""#,
                "Edge on Windows",
            ),
            (r#""Chromium";v="124", "Google Chrome";v="124""#, r#""Chrome OS""#, "Chrome on Chrome OS"),
            (r#""Chromium";v="124""#, "", "Chrome on Linux"),
            ("\"", "Unknown", "Chrome on Linux"),
        ] {
            assert_eq!(client(brands, platform).device().label(), Some(expected));
        }
        let long = format!("\"{}é\"", "B".repeat(63));
        assert_eq!(client(&long, "").device().label(), Some("B".repeat(63).as_str()));
    }

    #[test]
    fn the_context_is_the_address_or_its_network() {
        let context = |address: &str| {
            let client = Client { address: Some(address.into()), ..Client::default() };
            client.device().context().map(str::to_owned)
        };
        assert_eq!(context("192.0.2.1").as_deref(), Some(r#"{"address":"192.0.2.1"}"#));
        assert_eq!(context("::ffff:192.0.2.1").as_deref(), Some(r#"{"address":"192.0.2.1"}"#));
        assert_eq!(context("2001:db8:1:2:3::4").as_deref(), Some(r#"{"address":"2001:db8:1:2::/64"}"#));
        for unknown in ["", "testclient", "192.0.2.1, 10.0.0.1", "unix:"] {
            assert_eq!(context(unknown), None);
        }
    }
}
