//! Values that no peer in its right mind sends, and limits at the edge (contracts S6, X5). Most of these
//! were found by [fuzzing](super::super::testing).

use super::*;
use crate::voice::DeliveryStrategy;

#[test]
fn x5_no_length_of_time_is_too_long() {
    let mut limited = settings();
    limited.idle_timeout = Some(Duration::MAX);
    limited.tool_timeout = Duration::MAX;
    let mut info = ConnectionInfo::new(capabilities());
    info.expires_in = Some(Duration::MAX);
    let mut call = Scripted::unconnected(limited);
    call.feed(Input::Connected(info)).pass(ms(1000));
    call.client(ClientEvent::Playback(Duration::MAX))
        .provider(ProviderEvent::GoAway {
            time_left: Some(Duration::MAX),
        })
        .command(Command::Deliver {
            text: "news".into(),
            strategy: DeliveryStrategy::WaitForIdle(Duration::MAX),
        })
        .tool_call("c1")
        .tool_cleared("c1")
        .answer("r1", "hello", ms(500))
        .pass(ms(1000));
    assert_eq!(call.heard(), ms(500));
}

#[test]
fn s6_a_call_that_is_not_connected_does_not_wake_for_its_idle_limit() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5000));
    let mut call = Scripted::unconnected(limited);
    call.pass(ms(5000));
    assert_eq!(call.call.next_wake(call.now), None);
}
