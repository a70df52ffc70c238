/** Sentences of the server on the page. */

/** With a capital at the beginning, but for names: `qBittorrent`, `cross-seed`, `global.uplink`. */
export function capital(sentence: string): string {
  const word = /^[a-z]+(?=[\s,;:]|$)/.exec(sentence);
  return word === null ? sentence : sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** The server's `reason. hint: what to do` as one sentence. */
export function plain(sentence: string): string {
  return sentence.replace(/\. hint: /, ": ");
}
