// Where the eye is, and where it sees a place: x and y from -1 to 1 on the ground, z up.

const FAR = 4.4; // of the eye from the middle
const MARGIN = 36; // pixels for what is written around a solid
const LOWEST = 0.12; // elevations, as angles: never from below, where the order of the cells is another
const HIGHEST = Math.PI / 2 - 0.001;

export class Camera {
  constructor(azimuth, elevation, zoom = 1) {
    Object.assign(this, { azimuth, elevation, zoom });
  }

  get state() {
    return [this.azimuth, this.elevation, this.zoom].map((value) => Number(value.toFixed(4)));
  }

  turn(right, up) {
    const turned = this.azimuth - right;
    this.azimuth = turned - 2 * Math.PI * Math.round(turned / (2 * Math.PI));
    this.elevation = Math.min(HIGHEST, Math.max(LOWEST, this.elevation + up));
  }

  magnify(factor) {
    this.zoom = Math.min(8, Math.max(0.5, this.zoom * factor));
  }

  /** Fit a solid, `radius` wide and `height` high, in a picture. */
  fit(width, height, solid) {
    const [sin, cos] = [Math.sin(this.elevation), Math.cos(this.elevation)];
    this.level = solid.height * 0.36;
    // As high as it is from any side, so that it keeps its size while it turns.
    const levelOf = (out, z) => (out * sin - (z - this.level) * cos) / (FAR - out * cos - (z - this.level) * sin);
    const ends = [solid.radius, -solid.radius].flatMap((out) => [0, solid.height].map((z) => levelOf(out * 0.92, z)));
    const [upper, lower] = [Math.min(...ends), Math.max(...ends)];
    this.size = this.zoom * Math.min((width * FAR * 0.84) / (2 * solid.radius), (height - MARGIN) / (lower - upper));
    [this.sinA, this.cosA] = [Math.sin(this.azimuth), Math.cos(this.azimuth)];
    [this.sinE, this.cosE] = [sin, cos];
    this.middle = [width / 2, height / 2 - (this.size * (upper + lower)) / 2];
    this.eye = [FAR * this.cosA * cos, FAR * this.sinA * cos, this.level + FAR * sin];
  }

  /** The pixel of a place, into `pixels` at 2 k. */
  project(x, y, z, pixels, k) {
    const out = this.cosA * x + this.sinA * y;
    const up = z - this.level;
    const scale = this.size / (FAR - out * this.cosE - up * this.sinE);
    pixels[2 * k] = this.middle[0] + (this.cosA * y - this.sinA * x) * scale;
    pixels[2 * k + 1] = this.middle[1] - (up * this.cosE - out * this.sinE) * scale;
  }

  at(x, y, z) {
    const pixels = [0, 0];
    this.project(x, y, z, pixels, 0);
    return pixels;
  }
}

/** Whether a solid hides a place on it: what is on the way from there to the eye. */
export function isHidden(solid, [eyeX, eyeY, eyeZ], x, y, z) {
  const [dx, dy] = [eyeX - x, eyeY - y];
  const away = Math.hypot(dx, dy);
  if (!(away > 1e-9)) return false;
  const [ux, uy, rise] = [dx / away, dy / away, (eyeZ - z) / away];
  const { pace, peak } = solid;
  for (let way = pace; way < away; way += pace) {
    const height = z + rise * way;
    if (height > peak) return false;
    const ground = solid.ground(x + ux * way, y + uy * way);
    if (ground > height + 0.004) return true;
    if (ground === -Infinity && !solid.isHollow) return false;
  }
  return false;
}
