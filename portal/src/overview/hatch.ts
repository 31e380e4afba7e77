/** A pattern of slanted lines, as a chart fills an area with it. */

const SIZE = 8;

export function hatch(dark: boolean): { image: HTMLCanvasElement; repeat: "repeat" } {
  const image = document.createElement("canvas");
  image.width = image.height = SIZE;
  const context = image.getContext("2d");
  if (context) {
    context.strokeStyle = dark ? "#f2c661" : "#8a5100";
    context.globalAlpha = 0.55;
    context.beginPath();
    // Beyond the corners, so that the lines meet.
    for (const shift of [-SIZE, 0, SIZE]) {
      context.moveTo(shift, SIZE);
      context.lineTo(shift + SIZE, 0);
    }
    context.stroke();
  }
  return { image, repeat: "repeat" };
}
