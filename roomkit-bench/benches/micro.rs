//! Time and allocations of each piece: `cargo bench -p roomkit-bench`.

use divan::{AllocProfiler, Bencher};
use roomkit_bench::micro;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = names())]
fn piece(bencher: Bencher<'_, '_>, name: &str) {
    let pieces = micro::pieces().unwrap_or_default();
    if let Some(mut piece) = pieces.into_iter().find(|piece| piece.name() == name) {
        bencher.bench_local(|| piece.run());
    }
}

fn names() -> Vec<&'static str> {
    let pieces = micro::pieces().unwrap_or_default();
    pieces.iter().map(micro::Piece::name).collect()
}
