// Loaded into a proxy beside its main file (`--import`, with `--expose-gc`): answers each message of a test with what it holds.

const collectGarbage = globalThis.gc;
if (!collectGarbage || !process.send) throw new Error("needs --expose-gc and a channel to the test");

process.on("message", () => tell(3));

function tell(rounds: number): void {
  // Buffers take a few rounds: what one collection finds dead, the next one gives back.
  collectGarbage!();
  if (rounds > 1) {
    setImmediate(tell, rounds - 1);
    return;
  }
  const { heapUsed, external } = process.memoryUsage();
  process.send!(heapUsed + external);
}
