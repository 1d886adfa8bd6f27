//! The list of rooms: `GET /rooms`.

use serde_json::{Value, json};

use crate::support::{TestServer, soon};

#[tokio::test]
async fn rooms_are_listed_newest_first() {
    let server = TestServer::start("").await;
    assert_eq!(server.get("/rooms").await.json(), json!({"rooms": []}));
    for room in ["first", "second"] {
        server
            .session(&format!("?room={room}"))
            .await
            .0
            .hang_up()
            .await;
    }
    let (_caller, _) = server.session("?room=third").await;
    server.delete("/rooms/first").await;
    let listed = server.get("/rooms").await.json();
    let listed = listed["rooms"].as_array().unwrap();
    let seen: Vec<_> = listed
        .iter()
        .map(|room| (&room["id"], &room["status"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("third"), &json!("active")),
            (&json!("second"), &json!("active")),
            (&json!("first"), &json!("closed")),
        ]
    );
    assert_eq!(listed[0]["sessions"], 1);

    let ids = |answer: Value| -> Vec<Value> {
        let rooms = answer["rooms"].as_array().unwrap();
        rooms.iter().map(|room| room["id"].clone()).collect()
    };
    assert_eq!(
        ids(server.get("/rooms?status=closed").await.json()),
        ["first"]
    );
    assert_eq!(
        ids(server.get("/rooms?status=active&limit=1").await.json()),
        ["third"]
    );
    assert_eq!(
        ids(server.get("/rooms?limit=2").await.json()),
        ["third", "second"]
    );
    assert_eq!(
        ids(server.get("/rooms?limit=2&before=second").await.json()),
        ["first"]
    );
    assert_eq!(ids(server.get("/rooms?before=first").await.json()), [""; 0]);
    server
        .get("/rooms?before=nowhere")
        .await
        .is_error(404, "room_not_found");
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("status=ajar", "status"),
        ("page=2", "page"),
    ] {
        let message = server
            .get(&format!("/rooms?{query}"))
            .await
            .is_error(400, "bad_request");
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn each_room_is_listed_with_the_number_of_its_sessions() {
    let server = TestServer::start("").await;
    let mut callers = Vec::new();
    for room in ["quiet", "full", "pair", "full", "pair", "full"] {
        callers.push(server.session(&format!("?room={room}")).await.0);
    }
    let counted = async |query: &str, expected: &[(&str, u64)]| {
        soon(async {
            loop {
                let listed = server.get(&format!("/rooms{query}")).await.json();
                let rooms = listed["rooms"].as_array().unwrap().iter();
                let counts = rooms.map(|room| {
                    let count = room["sessions"].as_u64().unwrap();
                    (room["id"].as_str().unwrap(), count)
                });
                // A session is gone when the server has noted that its call is over.
                if counts.collect::<Vec<_>>() == expected {
                    return;
                }
            }
        })
        .await;
    };
    counted("", &[("pair", 2), ("full", 3), ("quiet", 1)]).await;
    counted("?limit=2", &[("pair", 2), ("full", 3)]).await;
    callers.remove(0).hang_up().await;
    callers.remove(0).hang_up().await;
    counted("", &[("pair", 2), ("full", 2), ("quiet", 0)]).await;
    server.delete("/rooms/pair").await;
    counted("?status=closed", &[("pair", 0)]).await;
    counted("?status=active", &[("full", 2), ("quiet", 0)]).await;
}
