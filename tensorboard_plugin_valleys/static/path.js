// The path of one run, as payload.py packs it.

export class Path {
  #samples = new Map();
  #moves; // how many rows up to each one no step led to

  constructor(buffer) {
    const view = new DataView(buffer);
    const length = view.getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const size = header.num_rows;
    const start = 4 + length;
    const column = (k) => new Float32Array(buffer, start + 8 * size + 4 * size * k, size);
    this.names = header.coordinates;
    this.units = header.units;
    this.lossKind = header.loss_kind;
    this.steps = new Float64Array(buffer, start, size);
    [this.losses, this.distances, this.valleys] = [0, 1, 2].map(column);
    this.coordinates = this.names.map((_, k) => column(3 + k));
    this.ranks = header.ranks;
    const moved = new Set(header.no_steps);
    let count = 0;
    this.#moves = this.steps.map((_, row) => (count += moved.has(row)));
    this.shown = header.shown;
    this.numDerailments = header.num_derailments;
    this.derailments = header.derailments.map(([row, step, from, to]) => ({ row, step, from, to }));
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

  /** The rows up to one that a picture of `most` rows of the whole path shows, and that one. */
  rowsUpTo(last, most) {
    if (!this.#samples.has(most)) {
      const all = Int32Array.from(this.ranks.keys());
      this.#samples.set(most, all.filter((row) => this.ranks[row] <= most));
    }
    const rows = this.#samples.get(most);
    let count = 0;
    while (count < rows.length && rows[count] < last) count++;
    const found = new Int32Array(count + 1);
    found.set(rows.subarray(0, count));
    found[count] = last;
    return found;
  }

  /** The last derailments, at most `most`, of those up to a row. */
  derailmentsUpTo(last, most) {
    return this.derailments.filter(({ row }) => row <= last).slice(-most);
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
