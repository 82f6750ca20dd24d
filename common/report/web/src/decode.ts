// Columns of numbers, out of base64.

function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function viewOf(base64: string): DataView {
  const bytes = bytesOf(base64);
  if (bytes.length % 4 !== 0) throw new Error(`a column has ${bytes.length} bytes, which are no numbers of 4 bytes`);
  return new DataView(bytes.buffer);
}

export function floats(base64: string): Float32Array {
  const view = viewOf(base64);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export function integers(base64: string): Uint32Array {
  const view = viewOf(base64);
  return Uint32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getUint32(4 * i, true));
}
