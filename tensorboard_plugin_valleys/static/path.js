// The path of one run, as payload.py packs it.

export class Path {
  #samples = new Map();

  constructor(buffer) {
    const view = new DataView(buffer);
    const length = view.getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const size = header.num_rows;
    const start = 4 + length;
    const column = (k) => new Float32Array(buffer, start + 8 * size + 4 * size * k, size);
    this.label = header.label;
    this.names = header.coordinates;
    this.units = header.units;
    this.totalRows = header.total_rows;
    this.numDerailments = header.num_derailments;
    this.steps = new Float64Array(buffer, start, size);
    [this.losses, this.distances, this.valleys] = [0, 1, 2].map(column);
    this.coordinates = this.names.map((_, k) => column(3 + k));
    this.derailments = this.#findDerailments();
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

  /** About `most` rows up to one: every n-th, both of each derailment, and that one. */
  rowsUpTo(last, most) {
    if (!this.#samples.has(most)) {
      const stride = Math.ceil(this.size / most) | 1; // odd: shows steps to and fro
      const rows = new Set();
      for (let row = 0; row < this.size; row += stride) rows.add(row);
      for (const { before, row } of this.derailments.slice(0, most)) rows.add(before).add(row);
      this.#samples.set(most, Int32Array.from(rows).sort());
    }
    const rows = this.#samples.get(most);
    let count = 0;
    while (count < rows.length && rows[count] < last) count++;
    const found = new Int32Array(count + 1);
    found.set(rows.subarray(0, count));
    found[count] = last;
    return found;
  }

  point(row) {
    return this.coordinates.map((column) => column[row]);
  }

  /** Whether some row is beside the surface. */
  leavesSurface() {
    return this.distances.some((distance) => distance > 1e-6);
  }

  /** Pairs of rows: the last in one valley, and the next, in another. */
  #findDerailments() {
    const found = [];
    let before = -1;
    for (let row = 0; row < this.size; row++) {
      if (!(this.valleys[row] >= 0)) continue;
      if (before >= 0 && this.valleys[row] !== this.valleys[before]) {
        found.push({ before, row, from: this.valleys[before], to: this.valleys[row] });
      }
      before = row;
    }
    return found;
  }
}
