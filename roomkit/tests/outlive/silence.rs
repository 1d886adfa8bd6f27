//! Callers who send nothing any more in mid-sentence: their sentence ends all the same (contract A7).

use roomkit::transport::ClientEvent;

use crate::support::{Setup, ms, with_both, words_during_speech};

#[tokio::test]
async fn a7_a_sentence_of_a_client_that_sends_nothing_any_more_is_answered() {
    for mutes in [true, false] {
        with_both(move |vendor| async move {
            let setup = Setup::new(vendor);
            let setup = setup.gemini(|fake| fake.default_transcript(words_during_speech()));
            let house = setup.open().await;
            let call = house.call().await;
            house.fake.will_say("It is noon.", 200);
            call.voice.begin(ms(60_000));
            call.voice.go_on(ms(800)).await;
            if mutes {
                call.client.send(ClientEvent::Mute(true));
            }
            call.voice.stop();
            call.hears("It is noon.").await;
            call.asked(1);
            call.end(house).await;
        })
        .await;
    }
}
