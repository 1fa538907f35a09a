// The path of one run, as payload.py packs it.

const CHARTS_ONLY = 255; // level of a row that is not drawn on the surface

/** What was compressed. */
async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Numbers of `width` bytes each, whose bytes stand apart: all lowest ones first. */
function joined(bytes, size, width) {
  const found = new Uint8Array(size * width);
  for (let part = 0; part < width; part++) {
    for (let k = 0; k < size; k++) found[k * width + part] = bytes[part * size + k];
  }
  return found.buffer;
}

export class Path {
  #samples = new Map();
  #moves; // how many rows up to each one no step led

  /** A path from the bytes of a server or a page. */
  static async read(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    return new Path(header, await inflated(new Uint8Array(buffer, 4 + length)));
  }

  constructor(header, bytes) {
    const size = header.num_rows;
    let start = 0;
    const next = (width) => bytes.subarray(start, (start += width * size));
    let step = 0n;
    this.steps = Float64Array.from(new BigInt64Array(joined(next(8), size, 8)), (way) => Number((step += way)));
    this.levels = next(1);
    const column = () => {
      const bits = new Int32Array(joined(next(4), size, 4));
      for (let k = 1; k < size; k++) bits[k] += bits[k - 1];
      return new Float32Array(bits.buffer);
    };
    [this.losses, this.distances, this.valleys] = [column(), column(), column()];
    this.names = header.coordinates;
    this.coordinates = this.names.map(column);
    this.units = header.units;
    this.label = header.label;
    this.lossKind = header.loss_kind;
    const moved = new Set(header.no_steps);
    let count = 0;
    this.#moves = this.steps.map((_, row) => (count += moved.has(row)));
    this.shown = header.shown;
    this.diverged = header.diverged;
    this.numDerailments = header.num_derailments;
    this.derailments = header.derailments.map(([row, before, from, to, rise]) => ({ row, before, from, to, rise }));
  }

  get size() {
    return this.steps.length;
  }

  get lastStep() {
    return this.size ? this.steps[this.size - 1] : -1;
  }

  /** The row of the state at a step: the last one not after it; -1 before the first. */
  rowAt(step) {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= step) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The rows of a drawing that may be wrong by a share of the picture (see payload.py). */
  rowsWithin(error) {
    const level = Math.min(CHARTS_ONLY - 1, Math.max(0, Math.ceil(-4 * Math.log2(error))));
    if (!this.#samples.has(level)) {
      const all = Int32Array.from(this.levels.keys());
      this.#samples.set(level, all.filter((row) => this.levels[row] < level || this.levels[row] === 0));
    }
    return this.#samples.get(level);
  }

  /** Those up to one, and that one. */
  rowsUpTo(last, error) {
    const rows = this.rowsWithin(error);
    let count = 0;
    while (count < rows.length && rows[count] < last) count++;
    const found = new Int32Array(count + 1);
    found.set(rows.subarray(0, count));
    found[count] = last;
    return found;
  }

  /** The last derailments, at most `most`, of those up to a row. */
  derailmentsUpTo(last, most = Infinity) {
    const past = this.derailments.filter(({ row }) => row <= last);
    return past.slice(Math.max(0, past.length - most));
  }

  /** Whether it has diverged by a step. */
  hasDiverged(step) {
    return this.diverged !== null && step >= this.diverged;
  }

  /** Whether something else than steps led from one row to another: then no line is drawn. */
  isMoved(from, to) {
    return this.#moves[from] !== this.#moves[to];
  }

  point(row) {
    return this.coordinates.map((column) => column[row]);
  }

  /** Whether a row is beside the surface. */
  isOff(row) {
    return this.distances[row] > 1e-6;
  }

  leavesSurface() {
    return this.distances.some((_, row) => this.isOff(row));
  }
}
