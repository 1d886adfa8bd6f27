//! Random turns with several tools, in which nothing but the user's speech and results asks for an
//! answer: it is asked for after the last of them (contracts K1, K2, K7).

use proptest::prelude::*;

use super::*;
use crate::provider::ResponseStatus;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_000_u64).prop_map(|pause| Step::Pass(ms(pause))),
        1 => (any::<bool>(), 0..2_u8).prop_map(|(on, item)| Step::Speech(on, item)),
        2 => (0..2_u8).prop_map(Step::Response),
        2 => (0..2_u8).prop_map(|id| Step::EndResponse(id, ResponseStatus::Completed)),
        4 => (0..3_u8).prop_map(|id| Step::Call(id, 0)),
        1 => (0..3_u8).prop_map(Step::CancelCall),
        1 => Just(Step::Refused),
        4 => Just(Step::Cleared),
        4 => (0..3_u8).prop_map(Step::Answer),
    ]
}

proptest! {
    #[test]
    fn k7_an_answer_is_asked_for_after_the_last_result_whatever_the_order(
        steps in prop::collection::vec(step(), 1..60),
        text_during_tools in any::<bool>(),
    ) {
        let mut capabilities = capabilities();
        capabilities.text_during_tools = text_during_tools;
        let mut world = World::new(settings(), capabilities, true, None);
        world.run(&Step::Dialled(Ok(None)));
        for step in &steps {
            world.run(step);
            prop_assert!(world.promises.broken.is_empty(), "{:#?}", world.promises.broken);
        }
        world.settle();
        world.end();
        prop_assert!(world.promises.broken.is_empty(), "{:#?}", world.promises.broken);
    }
}
