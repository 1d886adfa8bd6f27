//! The program; see the library of the same name for what it is made of.

fn main() -> std::process::ExitCode {
    roomkit_server::main()
}
