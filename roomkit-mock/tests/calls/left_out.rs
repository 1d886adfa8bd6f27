//! Tools of a source that cannot be offered (contract K8).

use roomkit_core::{SessionOptions, tool::ToolSearch, voice::Agent};
use roomkit_mock::{Counters, MockRealtimeProvider, MockRealtimeTransport};

use crate::{
    support::{House, settle},
    tool_sources::{Shelf, own, result, update},
};

#[tokio::test(start_paused = true)]
async fn k8_a_tool_of_a_source_whose_name_is_taken_is_left_out_and_no_call_refused() {
    let counters = Counters::default();
    let _counting = counters.here();
    let (shelf, other) = (Shelf::new(&["b"]), Shelf::new(&["c"]));
    let house = House::with(|voice| {
        let clerk = Agent::new("clerk", "you know the shelf").channel_tools(true);
        let voice = voice.tool(own("a")).agents([clerk]);
        let voice = voice.tool_search(ToolSearch::new());
        voice.tool_source(shelf.clone()).tool_source(other.clone())
    })
    .await;
    let live = house.call().await;
    shelf.put(&["a", "b", "", "find_tools", "d"]);
    assert_eq!(update(&live).await, ["a", "b", "d", "c"]);
    other.put(&["c", "d"]);
    settle().await;
    for options in [SessionOptions::new(), SessionOptions::new().agent("clerk")] {
        let later = house.call_with(options).await;
        later.ai.simulate_tool_call("c1", "a", "{}");
        assert_eq!(result(&later).await, "host did a", "the host's come first");
        later.ai.simulate_tool_call("c2", "d", "{}");
        settle().await;
        let results = later.ai.tool_results();
        assert_eq!(results[1].output, "shelf did d", "then earlier sources'");
        let declared = house.provider.connects().pop().unwrap().tools;
        assert_eq!(declared.len(), 4, "{declared:?}");
    }
    let left_out = counters.get("roomkit_tools_left_out_total", "");
    assert_eq!(left_out, 3 + 4, "once for each list that is another");
}

#[tokio::test(start_paused = true)]
async fn k8_a_tool_of_a_source_that_the_provider_does_not_take_is_left_out_and_no_call_refused() {
    let counters = Counters::default();
    let _counting = counters.here();
    let shelf = Shelf::new(&["a", "3d"]);
    let provider = MockRealtimeProvider::new().refusing_tool("3d");
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        let clerk = Agent::new("clerk", "you know the shelf").channel_tools(true);
        voice.agents([clerk]).tool_source(shelf.clone())
    })
    .await;
    for options in [SessionOptions::new(), SessionOptions::new().agent("clerk")] {
        let call = house.call_with(options).await;
        call.ai.simulate_tool_call("c1", "a", "{}");
        assert_eq!(result(&call).await, "shelf did a");
        let declared = house.provider.connects().pop().unwrap().tools;
        assert_eq!(declared.len(), 1, "{declared:?}");
    }
    let left_out = counters.get("roomkit_tools_left_out_total", "");
    assert_eq!(left_out, 1, "once for each list that is another");

    let live = house.call().await;
    shelf.put(&["3d", "b"]);
    assert_eq!(update(&live).await, ["b"]);
}
