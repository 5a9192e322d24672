/**
 * Letters that look like Latin ones, in lower case, with what they look like. Chosen from Unicode's
 * https://www.unicode.org/Public/security/latest/confusables.txt (UTS 39): what NFKC and the removal of marks leave.
 */
const lookAlikes: readonly (readonly [letters: string, latin: string])[] = [
  // Cyrillic
  ['авекмнорстухіѕјһԁԛԝьӏүғпиԍԏѵг', 'abekmhopctyxisjhdqwblyfnugtvr'],
  // Greek
  ['αβγεζηικνορτυχωσςλμδ', 'abyeznikvoptuxwoclud'],
  // Armenian, Cherokee, Coptic
  ['ոսօհցքզյաեկռ', 'nuohgfqjwtyn'],
  ['ꭰꭱꭲꮃꮇꮋꮤꮥꮩꮪꮮꮯꮲꮶꮷꮹ', 'dritmhwsvsicpkjg'],
  ['ⲁⲉⲓⲕⲙⲟⲣⲥⲧⲩⲭ', 'aeikmopctyx'],
  // Phonetic letters and small capitals
  ['ɑɡıɩʟɴʀɪᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡʏᴢɔǝəɛɯʍɐɹʇʌ', 'agiilnriabcdefghjkmopstuvwyzceeemwartv'],
  // Latin letters with strokes and hooks, which have no decomposition
  ['øłđħŧƀɓƈɗɖƒɠɨƙɱŋɲɵƥʠɾʂƭʈʉʋⱳƴʐƶðþ', 'oldhtbbcddfgikmnnopqrsttuvwyzzdp'],
]

/** Of words that mix scripts, or that look Latin throughout. */
export const confusables: ReadonlyMap<string, string> = new Map(
  lookAlikes.flatMap(([letters, latin]) => {
    const to = [...latin]
    return [...letters].map((letter, index): [string, string] => [letter, to[index] ?? letter])
  }),
)

/** Letters in boxes and circles and regional indicators, which NFKC leaves: first code point of each run of A … Z. */
const boxedRuns = [0x1f150, 0x1f170, 0x1f1e6]

/** The letter that a boxed one stands for, or itself. */
export function unboxed(symbol: string): string {
  const code = symbol.codePointAt(0)!
  const start = boxedRuns.find((first) => code >= first && code < first + 26)
  return start === undefined ? symbol : String.fromCharCode(0x61 + code - start)
}

/** Signs that stand for letters inside words; one may stand for several. */
export const signs: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'il',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '8': 'b',
  '9': 'g',
  '@': 'a',
  $: 's',
  '€': 'e',
  '!': 'i',
  '|': 'il',
  '+': 't',
}
