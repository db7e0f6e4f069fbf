//! `data` is returned as it was sent, byte for byte.

use proptest::prelude::*;
use serde_json::json;

use crate::harness::Service;

/// Sends `data` in a create and in a save, and asserts that both come back unchanged.
async fn assert_comes_back(service: &Service, data: &str) {
    let body = format!("{{\"data\":{data}}}");
    let created = service.post().text(&body).send().await;
    let expected = format!("\"data\":{data},\"created\"");
    assert!(created.assert_status(201).body.contains(&expected), "{data}");
    let id = created.session_id();
    assert!(service.load(&id).await.body.contains(&expected), "{data}");

    let other = service.create(json!({})).await;
    let saved = service.put().id(&other).text(&body).send().await;
    assert_eq!(
        saved.assert_status(204).header("etag"),
        created.header("etag"),
        "the tag depends only on the bytes"
    );
    assert!(service.load(&other).await.body.contains(&expected), "{data}");
}

/// DynamoDB charges a write for every KB, so large data is deflated.
#[tokio::test]
async fn large_data_is_stored_deflated_and_comes_back_through_every_call() {
    let service = Service::start().await;
    let text = format!(r#"{{"list":[{}1.0]}}"#, r#"{"fruit":"apple"},"#.repeat(500));
    assert_comes_back(&service, &text).await;

    let id = service.post().text(format!("{{\"data\":{text}}}")).send().await.session_id();
    let record = service.record(&id).await.unwrap();
    let stored = record["data"].as_b().expect("deflated").as_ref().len();
    assert!(stored * 10 < text.len(), "{stored} of {}", text.len());

    let renewed = service.renew(&id).await;
    assert!(renewed.body.contains(&text));
    let id = renewed.session_id();
    let small = service.save(&id, json!({ "data": { "fruit": "apple" } })).await;
    small.assert_status(204);
    let record = service.record(&id).await.unwrap();
    assert_eq!(record["data"].as_s().unwrap(), r#"{"fruit":"apple"}"#, "small data is stored as text");
}

#[tokio::test]
async fn odd_numbers_escapes_key_order_and_spaces_survive() {
    let service = Service::start().await;
    for data in [
        "{}",
        "{ }",
        "{\"b\":1,\"a\":2,\"B\":3}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":0.1000,\"b\":1E+2,\"c\":-0,\"d\":-0.0,\"e\":1e308,\"f\":-1e-999}",
        "{\"a\":123456789012345678901234567890.123456789012345678901234567890}",
        "{\"a\":9007199254740993,\"b\":18446744073709551617}",
        r#"{"a":"\u0041\/\"\\\b\f\n\r\t","\u00e9":"é","emoji":"\ud83c\udf6a🍪"}"#,
        "{\"\":\"\",\" \":null,\"nul\":\"\\u0000\",\"del\":\"\u{7f}\",\"bom\":\"\u{feff}\",\"ls\":\"\u{2028}\"}",
        "{\n\t\"a\" : [ 1 , 2 ,\r\n { } , [ ] ] }",
        "{\"data\":{\"data\":{}},\"session_id\":\"x\",\"created\":0}",
        "{\"a\":true,\"b\":false,\"c\":null}",
    ] {
        assert_comes_back(&service, data).await;
    }
}

/// RFC 7493, sections 2.1 and 2.2. Behind the authorizer such data would be an error of API Gateway's.
#[tokio::test]
async fn what_other_json_readers_refuse_is_400_in_every_call() {
    let service = Service::start().await;
    let id = service.create(json!({ "a": 1 })).await;
    for (data, what) in [
        (r#"{"a":"\ud800"}"#, "half a surrogate pair"),
        (r#"{"\udfff":1}"#, "half a surrogate pair"),
        (r#"{"a":1e400}"#, "a number beyond the range of a 64-bit float"),
        (r#"{"a":[-1E309]}"#, "a number beyond the range of a 64-bit float"),
    ] {
        let body = format!("{{\"data\":{data}}}");
        let login = format!("{{\"data\":{data},\"subject\":\"alice\"}}");
        let calls = [
            service.post().text(&body),
            service.put().id(&id).text(&body),
            service.post_renew().id(&id).text(&body),
            service.post_renew().id(&id).text(&login),
            service.post_renew().text(&login),
        ];
        for call in calls {
            let detail = call.send().await.problem(400);
            assert_eq!(detail, format!("the data has {what}, which other JSON readers do not accept"));
        }
    }
    assert_eq!(service.load(&id).await.data(), json!({ "a": 1 }));
}

/// JSON text in all spellings that the grammar allows, except what RFC 7493 leaves out.
fn json_object() -> impl Strategy<Value = String> {
    let space = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
    let string = proptest::collection::vec(
        prop_oneof![
            "[a-zA-Z0-9 {}\\[\\],:/é🍪]",
            prop_oneof![
                Just("\\\""),
                Just("\\\\"),
                Just("\\/"),
                Just("\\b"),
                Just("\\n"),
                Just("\\u0000"),
                Just("\\ud83c\\udf6a"),
                Just("\\uDBFF\\udfff"),
            ]
            .prop_map(str::to_owned),
        ],
        0..8,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?([0-9]{1,2}|1[0-9]{2}|2[0-6][0-9]))?";
    let leaf = prop_oneof![string.clone(), number, Just("true".to_owned()), Just("null".to_owned())];
    let value = leaf.prop_recursive(4, 40, 5, move |inner| {
        let member =
            (string.clone(), space.clone(), inner.clone()).prop_map(|(k, s, v)| format!("{k}{s}:{s}{v}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(" ,"))),
        ]
    });
    proptest::collection::vec(value, 0..4).prop_map(|values| {
        let members: Vec<_> =
            values.iter().enumerate().map(|(i, value)| format!("\"{i}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

#[test]
fn generated_objects_survive() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(Service::start());
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(data in json_object())| {
        runtime.block_on(assert_comes_back(&service, &data));
    });
}
