/** Monaco makes its style elements itself and gives them no nonce; evaluated before Monaco, this does. */
import { nonce } from "../nonce";

const made = document.createElement.bind(document);

document.createElement = (name: string, options?: ElementCreationOptions) => {
  const element = made(name, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
};
