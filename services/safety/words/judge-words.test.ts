import { createJudge } from '../judge.ts'
import { readPolicy } from '../policy/policy.ts'
import { readPromptSets } from '../testing/prompt-sets.ts'

const policy = readPolicy()
const judge = createJudge(policy)
const decide = async (label: string, prompt: string) =>
  (await judge.reviewPrompt({ label, prompt, negativePrompt: '' })).decision
const words = async (label: string, prompt: string) =>
  (await judge.reviewPrompt({ label, prompt, negativePrompt: 'people' })).decision

describe('labels', () => {
  test.each([
    'man',
    'Woman',
    'old lady',
    'woman in a red dress',
    'my baby',
    'two boys',
    'PEOPLE',
    'police officer',
    'ｗｏｍａｎ',
    'w\u200bo\u00adman',
    'wоmаn',
    'wómän',
    'w0m4n',
    'w o m a n',
    'w.o.m.a.n',
    'child, smiling',
    'queen',
  ])('%s is a person', async (label) => {
    expect(await words(label, 'a beach')).toBe('REJECTED_PERSON')
  })

  test.each([
    'dog',
    'teddy bear',
    'baby carriage',
    "man's watch",
    'snowman',
    'nurse shark',
    'mango',
    'human skull',
    'women’s shoe',
    'robot',
    '7',
  ])('%s is a thing', async (label) => {
    expect(await words(label, 'a beach')).toBe('ALLOWED')
  })
})

describe('prompts', () => {
  test.each([
    'a dog beside a woman',
    'a dog with a baby on its back',
    'the face of Ada Lovelace',
    'portrait of the queen',
    'a ｗｏｍａｎ walking',
    'a dog and two chi\u200bldren',
    'portrait of my neighbour',
  ])('%s asks for a person', async (prompt) => {
    expect(await words('dog', prompt)).toBe('REJECTED_PERSON')
  })

  test.each([
    'a dog in a chef outfit',
    'a dog beside a baby elephant',
    'a portrait of a dog',
    'portrait of my dog in oil',
    'the face of a clock',
    "in a man's hat",
    'a dog on a mantel',
    'a sculpture of a dog made of gold',
    '',
    'a dog wearing a firefighter helmet',
  ])('%s does not', async (prompt) => {
    expect(await words('dog', prompt)).toBe('ALLOWED')
  })
})

describe('phrases that are names of things', () => {
  test.each([
    'a man eating pizza in a restaurant',
    'man eating a burger, photo',
    'a burning man running out of a house',
    'a painted lady smiling at the camera',
    'portrait of a best friend of mine',
    'a role model in lingerie',
    'sex on the beach at night',
    'a granny, smith and apple tree',
  ])('do not excuse %s', async (prompt) => {
    expect(await words('dog', prompt)).not.toBe('ALLOWED')
  })

  test.each([
    'man-eating shark',
    'a man-eating plant in a pot',
    'painted lady butterfly',
    'a black widow spider on a web',
    "man's best friend",
    'a mug on a boy scout camp table',
    'a nude-coloured lipstick on a shelf',
    'a naked light bulb over a table',
    'a granny smith apple',
    'a couple of mugs',
  ])('allow %s', async (prompt) => {
    expect(await words('dog', prompt)).toBe('ALLOWED')
  })
})

describe('whom a thing is for', () => {
  test.each([
    'a slide for kids laughing and playing',
    'a slide for kids, laughing',
    'a slide for kids in red hats',
    'a bench for children holding balloons',
    'a chair for children holding balloons',
    'swap the dog for kids',
    'un tobogán para niños jugando',
    'eine Rutsche für Kinder, die lachen',
  ])('is there: %s', async (prompt) => {
    expect(await words('dog', prompt)).toBe('REJECTED_PERSON')
  })

  test.each([
    'a slide for kids',
    'a slide for kids in a park',
    'un tobogán para niños',
    'une aire de jeux pour enfants',
    'eine Rutsche für Kinder',
    'горка для детей',
    'حذاء للأطفال',
  ])('is not: %s', async (prompt) => {
    expect(await words('dog', prompt)).toBe('ALLOWED')
  })
})

describe('a label', () => {
  test.each([
    ['the', 'the doctor in a hospital'],
    ['a', 'a doctor in a hospital'],
    ['x', 'x policeman with a gun'],
    ['handsome', 'a handsome policeman'],
    ['tall', 'a tall policeman'],
    ['dog the', 'the policeman'],
    ["woman's", 'a woman walking'],
    ['Taylor Swift', 'the face of Taylor Swift'],
    ['Barack Obama', 'replace it with Barack Obama'],
    ['face', 'the face of Barack Obama'],
    ['portrait', 'a portrait of Barack Obama'],
    ["woman's bag", 'portrait of a woman, bag in her hand'],
    ['girl doll', 'a girl, doll in her arms, photo'],
    ['baby carriage', 'a baby, carriage behind it'],
  ])('%s does not excuse %s', async (label, prompt) => {
    expect(await decide(label, prompt)).toBe('REJECTED_PERSON')
  })

  test.each([
    ['girl doll', 'a girl doll on a shelf'],
    ['女孩玩偶', '女孩玩偶在架子上'],
    ['dog', 'the dog as a policeman'],
    ['the corgi', 'a corgi astronaut'],
    ["woman's bag", "a woman's bag on a chair"],
    ['king penguin', "the king penguin's egg"],
  ])('%s excuses %s', async (label, prompt) => {
    expect(await decide(label, prompt)).toBe('ALLOWED')
  })
})

describe('what is said to be absent', () => {
  test.each([
    'no; woman in a red dress',
    'a beach, no. Woman in a red dress',
    'a beach — no — woman',
    'sin, mujer en la playa',
    'بلا، امرأة',
    'बिना। औरत',
    '没有. 女人',
  ])('ends with the sentence: %s', async (prompt) => {
    expect(await words('dog', prompt)).toBe('REJECTED_PERSON')
  })

  test.each(['no. Nude. No. Porn. No. Hentai', 'zero nude', 'no nudity', 'sin porno'])(
    'is no sexual content: %s',
    async (prompt) => {
      expect(await words('dog', prompt)).toBe('REJECTED_CONTENT')
    },
  )

  test.each(['no man', 'sin mujer', '没有女人'])('is not in a label: %s', async (label) => {
    expect(await decide(label, '')).toBe('REJECTED_PERSON')
  })

  test.each(['a beach without people', 'شاطئ بدون ناس', 'बिना लोगों की सड़क', '没有女人的海滩'])(
    'is allowed: %s',
    async (prompt) => {
      expect(await words('dog', prompt)).toBe('ALLOWED')
    },
  )
})

describe('in all languages', () => {
  test.each([
    'swap the mug for the head of Barack Obama',
    'swap the doll for a girl',
    'instead of the dog, Barack Obama',
    'a nurse checks the thermometer',
    'a dog owner in the park',
    'reemplázalo con la cara de Putin',
    'un camarero sirve el café',
    'remplace-le par le visage de Poutine',
    'ersetze es durch das Gesicht von Putin',
    'substitua-o pelo rosto de Putin',
    'портрет моей бабушки',
    'замени на лицо Путина',
    'преврати её в меня',
    'рядом с двумя мальчиками',
    'кукла пугает девочку',
    'استبدله بوجه بوتين',
    'استبدله بي',
    'سيارة يقودها رجل',
    'والرجل في الحديقة',
    'इसे पुतिन के चेहरे से बदल दो',
    'इसे मुझसे बदल दो',
    'मेरे चेहरे के साथ',
    'लड़का किताब पढ़ रहा है',
    '把它换成普京的脸',
    '把狗换成她',
    '一位医生抱着狗',
  ])('%s asks for a person', async (prompt) => {
    expect(await words('dog', prompt)).toBe('REJECTED_PERSON')
  })

  test.each(['underage', 'несовершеннолетнюю', 'детскую порнографию', 'قاصر', 'إباحية الأطفال', 'नाबालिग', 'बाल पोर्न'])(
    '%s asks for a minor',
    async (prompt) => {
      const { decision, findings } = await judge.reviewPrompt({ label: 'dog', prompt, negativePrompt: '' })
      expect(decision).toBe('REJECTED_CONTENT')
      expect(findings[0]?.detector).toBe('words/minor')
    },
  )

  test.each([
    'swap the mug for a teapot',
    'replace the background with a statue of a man',
    'ersetze den Teppich durch Gras',
    'das Gesicht einer Wanduhr',
    'статуя старой женщины',
    'собака в костюме врача',
    'лицо кошки',
    'замени фон на зимний лес',
    'تمثال رجل',
    'وجه قطة',
    'استبدل الخلفية بجبل',
    'औरत की मूर्ति',
    'पत्थर का आदमी',
    'बिल्ली का चेहरा',
    '把背景换成雪山',
  ])('%s does not', async (prompt) => {
    expect(await words('dog', prompt)).toBe('ALLOWED')
  })
})

describe('further word lists', () => {
  const languages = [...new Set([...policy.words.languages, 'it', 'ja'])]
  const further = createJudge({ ...policy, words: { ...policy.words, languages } })
  const judgeFurther = async (prompt: string) =>
    (await further.reviewPrompt({ label: 'dog', prompt, negativePrompt: '' })).decision

  test.each([
    ['una ragazza nuda sul letto', 'REJECTED_CONTENT'],
    ['sostituiscilo con il volto di Mussolini', 'REJECTED_PERSON'],
    ['un bambino con il cane', 'REJECTED_PERSON'],
    ['公園で遊ぶ子供', 'REJECTED_PERSON'],
    ['私に置き換えて', 'REJECTED_PERSON'],
    ['全裸の女性', 'REJECTED_CONTENT'],
    ['una spiaggia senza persone', 'ALLOWED'],
    ['statua di un uomo', 'ALLOWED'],
    ['女の子の人形', 'ALLOWED'],
    ['犬が公園で遊ぶ', 'ALLOWED'],
  ])('%s: %s', async (prompt, decision) => {
    expect(await judgeFurther(prompt)).toBe(decision)
  })
})

test('no number of persons hides what is graver', async () => {
  expect(await words('dog', `${'man '.repeat(8)}naked child`)).toBe('REJECTED_CONTENT')
})

test('a verdict says what was seen, by which policy', async () => {
  expect(await judge.reviewPrompt({ label: 'dog', prompt: 'a dog and a woman', negativePrompt: '' })).toEqual({
    decision: 'REJECTED_PERSON',
    findings: [
      {
        stage: 'PROMPT',
        detector: 'words/person',
        reason: '"woman" in the prompt names a person',
        score: 1,
        threshold: 0.5,
        region: null,
      },
    ],
    policyVersion: 'moma-4/words',
  })
})

describe('the prompt sets', () => {
  const sets = readPromptSets()

  test.each(sets)('$category ($language, $field): $expect', async ({ field, expect: expected, texts }) => {
    const judged = await Promise.all(
      texts.map(async (text) => {
        const label = field === 'label' ? text : 'dog'
        const { decision } = await judge.reviewPrompt({
          label,
          prompt: field === 'label' ? '' : text,
          negativePrompt: '',
        })
        return { text, decision }
      }),
    )
    expect(judged).toEqual(texts.map((text) => ({ text, decision: expected })))
  })

  test('are large enough', () => {
    const count = (isHostile: boolean) =>
      sets.filter((set) => (set.expect !== 'ALLOWED') === isHostile).reduce((sum, { texts }) => sum + texts.length, 0)
    expect(count(true)).toBeGreaterThanOrEqual(200)
    expect(count(false)).toBeGreaterThanOrEqual(200)
  })
})

test('a policy may count what is made in the likeness of people as persons', async () => {
  const closeCalls = { ...policy.words.closeCalls, statue: 'person' } as const
  const strict = createJudge({ ...policy, words: { ...policy.words, closeCalls } })
  const { decision, findings } = await strict.reviewPrompt({ label: 'statue of a man', prompt: '', negativePrompt: '' })
  expect(decision).toBe('REJECTED_PERSON')
  expect(findings[0]?.reason).toBe('"man" in the label names a statue in the likeness of a person')
})

describe('texts made to take long', () => {
  const lots = 100_000
  test.each([
    ['one letter and a space', 'a '],
    ['letters glued by signs', 'a-'],
    ['letters glued by stars', 'a*'],
    ['stars', '*'],
    ['one word', 'a'],
    ['one Chinese character', '女'],
    ['marks', '\u0301'],
    ['mixed scripts', 'аa'],
    ['links', 'statue of '],
    ['possessives', "man's "],
    ['replacements', 'replace '],
    ['the invisible', '\u200b'],
    ['whom it is for', 'for kids '],
    ['persons side by side', 'king and '],
    ['Chinese with pauses', '没有.'],
    ['Arabic letters', 'ب '],
    ['Hindi replacements', 'से बदल '],
  ])('%s', async (_, piece) => {
    const hostile = `${piece.repeat(Math.floor(lots / piece.length))}. woman`
    expect(await words('dog', hostile)).toBe('REJECTED_PERSON')
  })

  test('nothing', async () => {
    expect(await words('dog', '')).toBe('ALLOWED')
    expect(await words('dog', ' \n\t ')).toBe('ALLOWED')
  })
})
