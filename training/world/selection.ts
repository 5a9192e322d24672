import { createHash } from 'node:crypto'

/**
 * `thing`: may be a subject. `person`: somebody, with a head or a body; never a subject, examples for the safety service.
 * `doubtful`: figures in human shape (statues, dolls, masks, skulls), hands and other parts of a body, organs, limbs that
 * were made, and smileys, which are signs of a mood; neither, because a label either way would be wrong for somebody.
 */
export type Kind = 'thing' | 'person' | 'doubtful'
export type Split = 'train' | 'held_out'

export interface Choice {
  readonly kind: Kind
  /** The noun of "a photo of a dog". */
  readonly label: string
  /** A thing's is its label's last word, a person's what is done or worn. Of a group that is held out, all is. */
  readonly group: string
  readonly split: Split
}

/** Share of the groups that nothing that draws ever sees, and of the drawings of every other group's persons. */
const heldOutShare = 0.13

const doubtful = words(`
  japanese-dolls nesting-dolls performing-arts moai statue-of-liberty snowman snowman-without-snow skull
  skull-and-crossbones goblin ogre alien clown-face jack-o-lantern sun-with-face full-moon-face new-moon-face
  first-quarter-moon-face last-quarter-moon-face wind-face crutch manual-wheelchair motorized-wheelchair
  troll anatomical-heart lungs tooth bone brain mechanical-arm mechanical-leg
  fingerprint hairy-creature`)

/** In categories of things, but signs, sheets of text, views, weather, weapons, drugs or too thin to be drawn small. */
const leftOut = words(`
  1st-place-medal 2nd-place-medal 3rd-place-medal club-suit diamond-suit heart-suit spade-suit fireworks flag-in-hole
  flower-playing-cards framed-picture joker mahjong-red-dragon moon-viewing-ceremony sparkler sparkles
  leaf-fluttering-in-wind microbe paw-prints pig-nose spider-web worm mosquito
  ballot-box-with-ballot bar-chart bell-with-slash bomb bookmark-tabs broken-chain bubbles calendar card-index
  card-index-dividers chains chart-decreasing chart-increasing chart-increasing-with-yen cigarette coffin control-knobs
  crossed-swords dagger dna drop-of-blood e-mail elevator envelope-with-arrow file-folder film-frames hamsa headstone hook
  identification-card inbox-tray incoming-envelope label level-slider link linked-paperclips locked-with-pen
  locked-with-key low-battery memo mobile-phone-with-arrow money-with-wings musical-note musical-notes musical-score
  muted-speaker newspaper open-file-folder outbox-tray page-facing-up page-with-curl paperclip petri-dish pill placard
  receipt rolled-up-newspaper safety-pin pushpin spiral-calendar spiral-notepad straight-ruler syringe
  tear-off-calendar triangular-ruler white-cane x-ray closed-mailbox-with-lowered-flag chopsticks sewing-needle
  airplane-arrival airplane-departure beach-with-umbrella bridge-at-night building-construction bus-stop camping
  cityscape cityscape-at-dusk cloud cloud-with-lightning cloud-with-lightning-and-rain cloud-with-rain cloud-with-snow
  comet crescent-moon cyclone desert desert-island droplet fire first-quarter-moon fog foggy full-moon
  globe-with-meridians glowing-star high-voltage hot-springs houses landslide last-quarter-moon map-of-japan
  milky-way motorway mount-fuji mountain mountain-cableway mountain-railway national-park new-moon night-with-stars
  rainbow railway-track shooting-star snow-capped-mountain snowflake star station sun sun-behind-cloud
  sun-behind-large-cloud sun-behind-rain-cloud sun-behind-small-cloud sunrise sunrise-over-mountains sunset
  suspension-railway aerial-tramway thermometer tornado volcano umbrella-with-rain-drops umbrella-on-ground
  waning-crescent-moon waning-gibbous-moon water-wave waxing-crescent-moon waxing-gibbous-moon wedding world-map meteor
  love-hotel carp-streamer house-with-garden shower`)

/** The few things among the smileys. */
const smileyThings = words('robot ghost alien-monster pile-of-poo')

/** Smileys without a human face. */
const smileySign =
  /heart|symbol|collision|dash|^dizzy$|bubble|balloon|^hole$|hundred|kiss-mark|letter|droplets|zzz|\bcat\b|-cat|cat-|monkey|cloud|splat/

/** Where the icon's name is no simple noun. Names in the other set that differ stand here too. */
const labels: Readonly<Record<string, string>> = {
  'admission-tickets': 'ticket', 'american-football': 'football', 'artist-palette': 'palette',
  badminton: 'badminton racket', bowling: 'bowling pin', 'christmas-tree': 'christmas tree', 'cricket-game': 'cricket bat',
  'field-hockey': 'hockey stick', 'ice-hockey': 'hockey stick', 'fishing-pole': 'fishing rod', 'flying-disc': 'frisbee',
  'game-die': 'dice', lacrosse: 'lacrosse stick', 'martial-arts-uniform': 'uniform', 'military-medal': 'medal',
  'ping-pong': 'ping pong paddle', 'pool-8-ball': 'billiard ball', 'pine-decoration': 'bamboo plant', 'red-envelope': 'envelope',
  'reminder-ribbon': 'ribbon', 'rugby-football': 'football', 'running-shirt': 'shirt', 'sports-medal': 'medal',
  'tanabata-tree': 'tree', tennis: 'tennis racket', 'video-game': 'game controller', 'water-pistol': 'toy pistol',
  'wrapped-gift': 'gift', 'baby-chick': 'chick', 'front-facing-baby-chick': 'chick', 'hatching-chick': 'chick',
  'black-bird': 'bird', blackbird: 'bird', 'black-cat': 'cat', 'cherry-blossom': 'blossom', 'deciduous-tree': 'tree',
  'evergreen-tree': 'tree', 'leafless-tree': 'tree', 'empty-nest': 'nest', 'nest-with-eggs': 'nest', ewe: 'sheep', ram: 'sheep',
  'fallen-leaf': 'leaf', 'maple-leaf': 'leaf', 'four-leaf-clover': 'clover', shamrock: 'clover', 'guide-dog': 'dog',
  'service-dog': 'dog', poodle: 'dog', 'lady-beetle': 'ladybug', 'monarch-butterfly': 'butterfly', honeybee: 'bee',
  'polar-bear': 'polar bear', sauropod: 'dinosaur', 't-rex': 'dinosaur', 'sheaf-of-rice': 'rice plant', 'spiral-shell': 'shell',
  'spouting-whale': 'whale', 'tropical-fish': 'fish', 'two-hump-camel': 'camel', 'water-buffalo': 'buffalo',
  'white-flower': 'flower', 'wilted-flower': 'flower', 'phoenix-bird': 'phoenix', 'potted-plant': 'potted plant',
  'baguette-bread': 'bread', flatbread: 'bread', 'stuffed-flatbread': 'sandwich', 'beverage-box': 'juice box', 'beer-mug': 'mug',
  'bottle-with-popping-cork': 'bottle', 'bowl-with-spoon': 'bowl', 'steaming-bowl': 'bowl', 'pot-of-food': 'pot',
  'shallow-pan-of-food': 'pan', cooking: 'pan', 'bubble-tea': 'bubble tea', 'canned-food': 'can', 'cheese-wedge': 'cheese',
  'chocolate-bar': 'chocolate', 'clinking-beer-mugs': 'mug', 'clinking-glasses': 'glass', 'cocktail-glass': 'cocktail glass',
  'tumbler-glass': 'glass', 'wine-glass': 'wine glass', 'glass-of-milk': 'milk glass', 'tropical-drink': 'drink', 'cooked-rice': 'rice bowl',
  'curry-rice': 'curry plate', 'cup-with-straw': 'cup', 'teacup-without-handle': 'cup', 'hot-beverage': 'cup',
  'cut-of-meat': 'meat', 'meat-on-bone': 'meat', 'poultry-leg': 'chicken leg', 'ear-of-corn': 'corn',
  'fish-cake-with-swirl': 'fish cake', 'fork-and-knife': 'fork', 'fork-and-knife-with-plate': 'plate', 'french-fries': 'french fries',
  'fried-shrimp': 'shrimp', 'ginger-root': 'ginger', 'green-apple': 'apple', 'red-apple': 'apple', 'green-salad': 'salad',
  'hot-pepper': 'pepper', 'bell-pepper': 'pepper', ice: 'ice cube', 'soft-ice-cream': 'ice cream', 'shaved-ice': 'ice cream',
  'ice-cream': 'ice cream', 'kiwi-fruit': 'kiwi', 'leafy-green': 'cabbage', mate: 'mate cup', 'brown-mushroom': 'mushroom',
  'pea-pod': 'pea pod', 'pouring-liquid': 'glass', 'roasted-sweet-potato': 'potato', 'root-vegetable': 'beet', sake: 'sake bottle',
  salt: 'salt shaker', shortcake: 'cake', 'birthday-cake': 'cake', 'takeout-box': 'takeout box', 'moon-cake': 'cake',
  'adhesive-bandage': 'bandage', 'balance-scale': 'scale', 'ballet-shoes': 'ballet shoe', 'billed-cap': 'cap', 'black-nib': 'pen',
  'blue-book': 'book', 'closed-book': 'book', 'green-book': 'book', 'orange-book': 'book', 'open-book': 'book', books: 'book',
  'notebook-with-decorative-cover': 'notebook', 'bow-and-arrow': 'bow', 'camera-with-flash': 'camera', 'card-file-box': 'box',
  'carpentry-saw': 'saw', 'clapper-board': 'clapperboard', 'closed-mailbox-with-raised-flag': 'mailbox',
  'open-mailbox-with-lowered-flag': 'mailbox', 'open-mailbox-with-raised-flag': 'mailbox', 'clutch-bag': 'bag',
  'computer-disk': 'disk', 'floppy-disk': 'disk', 'optical-disk': 'disk', dvd: 'disk', 'computer-mouse': 'computer mouse',
  'couch-and-lamp': 'couch', 'desktop-computer': 'computer', 'diya-lamp': 'lamp', 'dollar-banknote': 'banknote',
  'euro-banknote': 'banknote', 'pound-banknote': 'banknote', 'yen-banknote': 'banknote', 'electric-plug': 'plug',
  'flat-shoe': 'shoe', 'folding-hand-fan': 'fan', 'fountain-pen': 'pen', 'funeral-urn': 'urn', 'gem-stone': 'gem',
  'graduation-cap': 'cap', 'hair-pick': 'comb', 'hammer-and-pick': 'hammer', 'hammer-and-wrench': 'hammer', 'high-heeled-shoe': 'shoe',
  'hiking-boot': 'boot', 'light-bulb': 'light bulb', locked: 'lock', unlocked: 'lock', 'long-drum': 'drum',
  'lotion-bottle': 'bottle', 'magnifying-glass-tilted-left': 'magnifying glass', 'magnifying-glass-tilted-right': 'magnifying glass',
  'mans-shoe': 'shoe', 'military-helmet': 'helmet', 'rescue-workers-helmet': 'helmet', 'mobile-phone': 'phone', 'telephone-receiver': 'phone',
  'money-bag': 'bag', 'musical-keyboard': 'piano', 'nazar-amulet': 'amulet', 'net-with-handle': 'net',
  'old-key': 'key', 'one-piece-swimsuit': 'swimsuit', package: 'box', 'postal-horn': 'horn', 'prayer-beads': 'necklace',
  'red-paper-lantern': 'lantern', 'roll-of-paper': 'paper roll', 'round-pushpin': 'pin', 'running-shoe': 'sneaker',
  'safety-vest': 'vest', 'satellite-antenna': 'antenna', 'shopping-bags': 'shopping bag',
  'speaker-high-volume': 'speaker', 'speaker-low-volume': 'speaker', 'speaker-medium-volume': 'speaker', 'studio-microphone': 'microphone',
  't-shirt': 'shirt', 'test-tube': 'test tube', 'thong-sandal': 'sandal', 'video-camera': 'camera', 'movie-camera': 'camera',
  videocassette: 'cassette', 'womans-boot': 'boot', 'womans-clothes': 'blouse', 'womans-hat': 'hat', 'womans-sandal': 'sandal',
  'nut-and-bolt': 'bolt', 'mouse-trap': 'mouse trap', 'oil-drum': 'barrel',
  'articulated-lorry': 'truck', 'delivery-truck': 'truck', 'pickup-truck': 'truck', automobile: 'car', 'oncoming-automobile': 'car',
  'oncoming-bus': 'bus', 'oncoming-police-car': 'police car', 'oncoming-taxi': 'taxi', 'sport-utility-vehicle': 'car', 'auto-rickshaw': 'rickshaw',
  'bellhop-bell': 'bell', 'bullet-train': 'train', 'high-speed-train': 'train', 'light-rail': 'train', metro: 'train', 'tram-car': 'tram',
  'railway-car': 'tram', monorail: 'train', locomotive: 'train', 'carousel-horse': 'carousel horse', 'circus-tent': 'tent',
  'classical-building': 'temple', bank: 'bank building', 'closed-umbrella': 'umbrella', construction: 'barrier',
  'convenience-store': 'store', 'department-store': 'store', 'derelict-house': 'house', 'fire-engine': 'fire truck', 'flying-saucer': 'spaceship',
  'fuel-pump': 'gas pump', 'globe-showing-americas': 'globe', 'globe-showing-asia-australia': 'globe', 'globe-showing-europe-africa': 'globe',
  'hindu-temple': 'temple', 'horizontal-traffic-light': 'traffic light', 'vertical-traffic-light': 'traffic light',
  'hourglass-done': 'hourglass', 'hourglass-not-done': 'hourglass', 'japanese-castle': 'castle', 'japanese-post-office': 'post office',
  luggage: 'suitcase', 'mantelpiece-clock': 'clock', 'alarm-clock': 'alarm clock', 'timer-clock': 'timer', 'motor-boat': 'boat', speedboat: 'boat',
  'passenger-ship': 'ship', 'motor-scooter': 'scooter', 'kick-scooter': 'scooter', minibus: 'bus', trolleybus: 'bus', 'office-building': 'building',
  'playground-slide': 'slide', 'police-car-light': 'siren', 'racing-car': 'racing car', 'ring-buoy': 'lifebuoy', 'ringed-planet': 'planet',
  'shinto-shrine': 'shrine', 'small-airplane': 'airplane', 'tokyo-tower': 'tower', wood: 'log', 
  'pile-of-poo': 'poop', 'alien-monster': 'monster',    
      
} // biome-ignore format: a table

/** Names of one set that the other spells differently, so that both are found in the same category. */
const spellings: Readonly<Record<string, string>> = {
  blackbird: 'black-bird',
  'phoenix-bird': 'phoenix',
  piata: 'pinata',
}

const skinTone = /(-(medium-light|medium-dark|light|medium|dark)-skin-tone)+|-tone\d$/
/** Fluent's spelling of the same. */
const shortSkinTone = /(-(medium-light|medium-dark|light|medium|dark))+$/

/** A part of a body, where nobody is named that it belongs to. */
const bodyPart =
  /^(?!(man|men|woman|women|person|people)-)(.*-)?(hands?|handshake|fingers?|fist|thumbs?|palms?|ear|eyes?|nose|mouth|tongue|lip|foot|leg|biceps|index|nail|selfie|horns|gesture|salute)(-|$)/

/** Who does it, and where to: neither makes another group of it. */
const who = words('man men woman women person people adult and')
const facing = /-facing-right$/
const children = /^(boy|girl|child)$/

/** What the hash would leave out of the held-out persons: children, and people side by side. */
const heldOutPersons = new Set(['child', 'holding hands'])

/**
 * What a set's icon is in the world, or null where it is left out. `categories` maps icon names to Unicode's categories
 * (noto's metadata; the sets share the names). Of persons some groups are held out, and of the others some drawings, in
 * all skin tones: a judge of who is on a photo is asked about everybody, and about roles that it has never seen.
 */
export function choose(set: string, name: string, categories: ReadonlyMap<string, string>): Choice | null {
  const spelled = spellings[name] ?? name
  const role = roleOf(spelled, categories)
  const kind = kindOf(role, categories.get(spelled) ?? categories.get(role) ?? categoryOfUnlisted(role))
  if (kind === null) return null
  const label = labelOf(role)
  const group = kind === 'person' ? personGroup(role) : label.split(' ').at(-1)!
  const isHeldOut = kind === 'person' && (heldOutPersons.has(group) || splitOf(drawingOf(set, role)) === 'held_out')
  return { kind, label, group, split: isHeldOut ? 'held_out' : splitOf(group) }
}

/** A person's name without its skin tones, in either set's spelling; any other name as it is. */
export function roleOf(name: string, categories: ReadonlyMap<string, string>): string {
  if (skinTone.test(name)) return name.replace(skinTone, '')
  return categories.has(name) ? name : name.replace(shortSkinTone, '')
}

/** "man-astronaut" and "astronaut" → "astronaut"; "woman" → "person". */
function personGroup(role: string): string {
  if (children.test(role)) return 'child'
  const parts = role.replace(facing, '').split('-')
  return parts.filter((part) => !who.has(part)).join(' ') || 'person'
}

/** What of two icons says that they are one drawing: Fluent's flat icons are its others without their shades. */
const drawingOf = (set: string, role: string) => `${set.replace(/-flat$/, '')}:${role.replace(facing, '')}`

/** Fluent has persons that noto's metadata doesn't list. */
function categoryOfUnlisted(role: string): string | undefined {
  return /^(man|woman|person)-/.test(role) ? 'People & Body' : undefined
}

function kindOf(name: string, category: string | undefined): Kind | null {
  if (doubtful.has(name)) return 'doubtful'
  if (leftOut.has(name)) return null
  switch (category) {
    case 'Activities':
    case 'Animals & Nature':
    case 'Food & Drink':
    case 'Objects':
      return 'thing'
    case 'Travel & Places':
      return /-oclock$|-thirty$/.test(name) ? null : 'thing'
    case 'Smileys & Emotion':
      return smileyThings.has(name) ? 'thing' : smileySign.test(name) ? null : 'doubtful'
    case 'People & Body':
      if (name === 'footprints') return null
      return bodyPart.test(name) ? 'doubtful' : 'person'
    default:
      return null
  }
}

/** A noun from the icon's name: "dog-face" → "dog", "teddy-bear" → "teddy bear". */
export function labelOf(name: string): string {
  return (labels[name] ?? name.replace(/-face$/, '').replace(/-with-.*$/, '')).replaceAll('-', ' ')
}

/** Decided by a hash of the name alone, so that of a group's all icon sets and variants agree. */
export function splitOf(name: string): Split {
  const fraction = createHash('sha256').update(`moma-mini:${name}`).digest().readUInt32BE(0) / 2 ** 32
  return fraction < heldOutShare ? 'held_out' : 'train'
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/))
}
