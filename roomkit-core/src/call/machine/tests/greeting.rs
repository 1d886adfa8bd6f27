//! A greeting that callers cannot interrupt (contract A3).

use super::*;

fn guarded() -> Scripted {
    let mut settings = settings();
    settings.greeting_interruptions = false;
    Scripted::greeting_with(settings, capabilities())
}

impl Scripted {
    /// Whether something that the client says now reaches the provider.
    fn is_listened_to(&mut self) -> bool {
        self.take();
        self.client(ClientEvent::Audio(sound(ms(20))));
        let said = |action: &Action| matches!(action, Action::ToProvider(ProviderCommand::Audio(pcm)) if pcm.contains(&7));
        self.take().iter().any(said)
    }

    fn is_cut(&self) -> bool {
        self.to_client().contains(&ClientCommand::Clear)
    }
}

#[test]
fn a3_a_greeting_that_is_guarded_is_heard_to_its_end() {
    let mut call = guarded();
    assert!(!call.is_listened_to(), "it is asked for");
    call.answer("r1", "Welcome!", ms(1000)).pass(ms(300));
    assert!(!call.is_listened_to());
    // Said before the greeting, and noticed now.
    call.user_starts("u1").pass(ms(100));
    assert!(!call.is_listened_to());
    call.pass(ms(1000));
    assert_eq!(call.heard(), ms(1000));
    assert!(!call.is_cut());
    let silence = |command: &ProviderCommand| match command {
        ProviderCommand::Audio(pcm) => pcm.iter().all(|byte| *byte == 0),
        _ => false,
    };
    assert!(call.to_provider().iter().any(silence), "so that it ends");
    call.user_stops("u1").pass(ms(300));
    assert!(call.is_listened_to());

    call.response("r2")
        .voice("r2", "a2", ms(1000))
        .pass(ms(300))
        .user_starts("u2");
    assert!(call.is_cut(), "no other answer is guarded");
}

#[test]
fn a3_nothing_said_before_a_guarded_greeting_is_asked_for_cuts_it_short() {
    let mut settings = settings();
    settings.greeting_interruptions = false;
    let mut opening = opening();
    opening.greeting = Some("Welcome!".into());
    let mut call = Scripted::opened(settings, opening);
    assert!(!call.is_listened_to(), "there is no connection yet");
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(500));
    let voice = |command: &ProviderCommand| matches!(command, ProviderCommand::Audio(pcm) if pcm.contains(&7));
    assert!(!call.to_provider().iter().any(voice));
}

#[test]
fn a3_the_hosts_turns_do_not_begin_in_a_guarded_greeting() {
    let mut settings = settings();
    settings.greeting_interruptions = false;
    let capabilities = ProviderCapabilities {
        manual_turns: true,
        ..capabilities()
    };
    let mut call = Scripted::greeting_with(settings, capabilities);
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100));
    call.take();
    call.command(Command::ActivityStart)
        .command(Command::ActivityEnd);
    let marks = |command: &ProviderCommand| {
        matches!(
            command,
            ProviderCommand::ActivityStart | ProviderCommand::ActivityEnd
        )
    };
    assert!(!call.to_provider().iter().any(marks));
    assert!(!call.is_cut());
    call.response_ends("r1", ResponseStatus::Completed)
        .pass(ms(2000));
    call.command(Command::ActivityStart);
    assert!(call.to_provider().iter().any(marks));
}

#[test]
fn a3_a_guarded_greeting_that_is_lost_unheard_is_guarded_again() {
    let mut call = guarded();
    call.response("r1");
    call.lost().pass(ms(10));
    assert!(!call.is_listened_to());
}

#[test]
fn a3_a_guarded_greeting_can_be_stopped_without_speech() {
    let mut call = guarded();
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .client(ClientEvent::Interrupt);
    assert!(call.is_cut());
    assert!(call.is_listened_to());
}

#[test]
fn a3_a_guarded_greeting_that_does_not_come_is_not_waited_for() {
    let mut call = guarded();
    call.pass(ms(9_900));
    assert!(!call.is_listened_to());
    call.pass(ms(200));
    assert!(call.is_listened_to());
}

#[test]
fn a3_a_greeting_is_interrupted_unless_it_is_guarded() {
    let mut call = Scripted::greeting(capabilities());
    assert!(call.is_listened_to());
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .user_starts("u1");
    assert!(call.is_cut());
}
