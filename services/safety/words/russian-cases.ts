const hard = ['а', 'у', 'ом', 'ем', 'е', 'ы', 'и', 'ов', 'ей', 'ам', 'ами', 'ах']
const soft = ['я', 'ю', 'ем', 'ём', 'е', 'и', 'ей', 'ев', 'ью', 'ям', 'ями', 'ях']
const adjective = ['ого', 'его', 'ому', 'ему', 'ым', 'им', 'ом', 'ем', 'ые', 'ие', 'ых', 'их', 'ыми', 'ими']
const adjectiveOfHer = ['ая', 'яя', 'ой', 'ей', 'ую', 'юю', 'ое', 'ее']

/** Endings of dictionary forms, the first that fits counting, with what stands in their place in other cases. */
const paradigms: readonly (readonly [ending: RegExp, forms: readonly string[]])[] = [
  [/(?:ый|ий|ой|ая|яя|ое)$/, [...adjective, ...adjectiveOfHer]],
  [/ец$/, ['ец', ...hard].map((form) => `ц${form}`)],
  [/[её]?нок$/, [...hard.map((form) => `енк${form}`), 'ята', 'ят', 'ятам', 'ятами', 'ятах']],
  [/ок$/, hard.map((form) => `к${form}`)],
  [/(?<=[бвгджзйклмнпрстфхцчшщь])ка$/, ['ки', 'ке', 'ку', 'кой', 'кою', 'ек', 'ок', 'кам', 'ками', 'ках']],
  [/а$/, ['ы', 'и', 'е', 'у', 'ой', 'ей', 'ою', '', 'ам', 'ами', 'ах']],
  [/[яьй]$/, soft],
  [/о$/, ['а', 'у', 'ом', 'е', '', 'ам', 'ами', 'ах']],
  [/(?=$)(?<=[бвгджзклмнпрстфхцчшщ])/, hard],
]

/** What a Russian noun or adjective may look like in other cases; some of these forms are no words, and harm nothing. */
export function casesOf(word: string): string[] {
  if (!/^[а-яё]{3,}$/.test(word)) return []
  const found = paradigms.find(([ending]) => ending.test(word))
  return found ? found[1].map((form) => word.replace(found[0], form)) : []
}
