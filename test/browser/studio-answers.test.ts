import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { Browser, Page, Request, Route } from 'playwright-core'
import sharp from 'sharp'
import { serveStudio } from '../../gateway/http/studio.ts'
import { hasChromium, launch, whenChromium } from './chromium.ts'

// The studio, in Chromium, where the API answers late, in another order, or what no mesh says on a good day.

let browser: Browser
let page: Page
const server = createServer(express().use(serveStudio() ?? ((_, __, next) => next())))
const address = (hash: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${hash}`
const button = (name: string) => page.getByRole('button', { name, exact: true })

/** An operation's data by its variables; a Response's worth of anything else by `fulfill`. */
type Answer = (variables: Record<string, string>, route: Route) => unknown
let answers: Record<string, Answer>
/** Names of the operations that were asked for, in their order. */
let asked: string[]
/** What was sent over WebSocket. */
let frames: string[]
const faults: string[] = []

const noPages = { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } }
const picture = (name: string) => ({ url: `http://mesh/assets/${name}.png`, width: 64, height: 64 })
const subject = (id: string) => ({
  __typename: 'Subject',
  id,
  label: `owl of ${id}`,
  status: 'READY',
  createdAt: '2026-01-31T12:00:00.000Z',
  image: picture(`photo-${id}`),
  mask: picture(`mask-${id}`),
})
const generation = (id: string, status: string) => ({
  ...{ id, status, stage: null, prompt: 'an owl on the beach', unreadPrompt: null, negativePrompt: '' },
  ...{ task: 'RECONTEXTUALIZE', method: 'MOMA', sampler: 'DDIM', strength: 1, guidance: 7.5, steps: 4, count: 1 },
  ...{ seed: 7, cursor: '1', queuePosition: 0, createdAt: '2026-01-31T12:00:00.000Z' },
  ...{ progress: { step: 0, steps: 4, fraction: 0 }, subject: subject('a'), images: [], problem: null },
})
const capabilities = {
  ...{ bundle: 'none', sizePx: 64, samplers: ['DDIM'], methods: ['MOMA'], segmentation: true },
  limits: { uploadBytes: 1e6, promptLength: 200, count: 4, steps: 50 },
  defaults: { steps: 4, guidance: 7.5, strengthRecontextualize: 1, strengthRetexture: 0.5 },
}
const good: Record<string, Answer> = {
  Capabilities: () => ({ capabilities }),
  Subject: ({ id }) => ({ subject: subject(id!) }),
  Subjects: () => ({ subjects: { ...noPages, nodes: [subject('a'), subject('b')] } }),
  Generations: () => ({ generations: noPages }),
  Generation: ({ id }) => ({ generation: generation(id!, 'RUNNING') }),
  CreateUpload: () => ({
    createUpload: { uploadId: 'u', url: 'http://mesh/uploads/u', method: 'PUT', headers: [], problem: null },
  }),
  CreateSubject: () => ({ createSubject: subject('c') }),
  DeleteSubject: ({ id }) => ({ deleteSubject: { __typename: 'DeletedSubject', id } }),
}

async function answer(route: Route): Promise<void> {
  const { query, variables } = route.request().postDataJSON()
  const name = /(?:query|mutation) (\w+)/.exec(query)![1]!
  asked.push(name)
  const data = await answers[name]!(variables, route)
  // Whoever has gone waits for nothing.
  if (data !== undefined) await route.fulfill({ json: { data } }).catch(() => {})
}

/** An answer that waits until it is let go. */
function held(name: string, isMeant: (variables: Record<string, string>) => boolean = () => true): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  const usual = answers[name]!
  answers[name] = async (variables, route) => {
    if (isMeant(variables)) await promise
    return usual(variables, route)
  }
  return resolve
}

const isOf = (name: string) => (request: Request) => request.postData()?.includes(` ${name}(`) ?? false

beforeAll(async () => {
  if (!hasChromium) return
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  browser = await launch()
}, 30_000)
afterAll(async () => {
  await browser?.close()
  server.close()
})

beforeEach(async () => {
  if (!hasChromium) return
  answers = { ...good }
  asked = []
  frames = []
  const png = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#fff' } })
    .png()
    .toBuffer()
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  page.setDefaultTimeout(10_000)
  page.on('pageerror', (error) => faults.push(error.message))
  await page.routeWebSocket('**/graphql', (socket) => {
    socket.onMessage((message) => {
      frames.push(JSON.parse(`${message}`).type)
      if (frames.at(-1) === 'connection_init') socket.send('{"type":"connection_ack"}')
    })
  })
  await page.route('**/graphql', answer)
  await page.route('**/assets/*', (route) => route.fulfill({ contentType: 'image/png', body: png }))
  await page.route('**/uploads/*', (route) => route.fulfill({ status: 204 }))
})
afterEach(() => page?.close())

/** By the page's own links: no reload. */
const go = (hash: string) => page.evaluate(`location.hash = ${JSON.stringify(hash)}`)

whenChromium('the studio and its answers', () => {
  test('what is shown and what can be deleted is the thing of the address, however late it is', async () => {
    await page.goto(address('#/subject/a'))
    await page.getByRole('heading', { name: 'Your owl of a' }).waitFor()
    await go('#/subject/b')
    await page.getByRole('heading', { name: 'Your owl of b' }).waitFor()
    await button('Delete').click()
    const letGo = held('Subject', ({ id }) => id === 'a')
    await page.goBack()
    await page.getByRole('heading', { name: 'Loading …' }).waitFor()
    expect(await button('Delete it all').count()).toBe(0)
    letGo()
    await page.getByRole('heading', { name: 'Your owl of a' }).waitFor()
    expect(await button('Delete it all').count()).toBe(0)
  }, 30_000)

  test('an answer that comes after the next thing is there changes nothing', async () => {
    const letGo = held('Subject', ({ id }) => id === 'a')
    await page.goto(address('#/subject/a'))
    await page.waitForRequest(isOf('Subject'))
    await go('#/subject/b')
    await page.getByRole('heading', { name: 'Your owl of b' }).waitFor()
    const late = page.waitForResponse((response) => response.request().postData()?.includes('"a"') ?? false)
    letGo()
    await late
    await page.waitForTimeout(100)
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('Your owl of b')
  }, 30_000)

  test('whoever has gone elsewhere is not led on', async () => {
    await page.goto(address('#/subject/a'))
    const letGo = held('DeleteSubject')
    await button('Delete').click()
    await button('Delete it all').click()
    await go('#/subject/b')
    await page.getByRole('heading', { name: 'Your owl of b' }).waitFor()
    const deleted = page.waitForResponse((response) => isOf('DeleteSubject')(response.request()))
    letGo()
    await deleted
    await page.waitForTimeout(100)
    expect(page.url()).toMatch(/#\/subject\/b$/)
  }, 30_000)

  test('by keyboard one is at the question at once, and at its button again', async () => {
    await page.goto(address('#/subject/a'))
    const focused = () => page.evaluate('document.activeElement.innerText')
    await button('Delete').press('Enter')
    await button('Keep it').waitFor()
    expect(await focused()).toBe('Keep it')
    await page.keyboard.press('Enter')
    await button('Keep it').waitFor({ state: 'detached' })
    expect(await focused()).toBe('Delete')
  }, 30_000)

  test('a mask is used once, however often that is pressed', async () => {
    await page.goto(address('#/subject/a'))
    await button('Correct the mask').click()
    const letGo = held('CreateSubject')
    const sent = page.waitForRequest(isOf('CreateSubject'))
    await button('Use this mask').click()
    await sent
    expect(await button('Looking …').isDisabled()).toBe(true)
    expect(await button('Leave it').isDisabled()).toBe(true)
    letGo()
    await page.waitForURL(/#\/subject\/c/)
    expect(asked.filter((name) => name === 'CreateSubject')).toHaveLength(1)
  }, 30_000)

  test('what is drawn by keyboard is undone', async () => {
    await page.goto(address('#/subject/a'))
    await button('Correct the mask').click()
    await page.locator('[role=application][aria-busy=false]').press('Shift+ArrowRight')
    await button('Undo').click()
    await button('Redo').click()
  }, 30_000)

  test('a photo that is pasted while another is marked is marked anew', async () => {
    await page.goto(address('#/'))
    await button('owl').click()
    await button('Mark it myself').click()
    const canvas = page.locator('[role=application][aria-busy=false]')
    await canvas.press(' ')
    expect(await button('Undo').isEnabled()).toBe(true)
    await page.evaluate(`{
      const square = new OffscreenCanvas(32, 16)
      square.getContext('2d')
      square.convertToBlob().then((blob) => {
        const clipboardData = new DataTransfer()
        clipboardData.items.add(new File([blob], 'wide.png', { type: 'image/png' }))
        dispatchEvent(new ClipboardEvent('paste', { clipboardData }))
      })
    }`)
    await page.locator('canvas[height="16"]').waitFor()
    expect(await button('Undo').isEnabled()).toBe(false)
  }, 30_000)

  test('the example that was chosen last is the photo', async () => {
    await page.goto(address('#/'))
    await page.waitForLoadState('networkidle')
    const { promise, resolve } = Promise.withResolvers<void>()
    await page.route(/owl-.*jpg$/, async (route) => {
      await promise
      await route.continue()
    })
    const late = page.waitForResponse(/owl-.*jpg$/)
    await button('owl').click()
    await button('camel').click()
    await page.getByAltText('Your choice').waitFor()
    const shown = await page.getByAltText('Your choice').getAttribute('src')
    resolve()
    await late
    await page.waitForTimeout(100)
    expect(await page.getByAltText('Your choice').getAttribute('src')).toBe(shown)
    expect(await page.getByLabel('What is it?').inputValue()).toBe('camel')
  }, 30_000)

  test('why a generation was not canceled', async () => {
    const message = 'it could not be asked to stop'
    answers.CancelGeneration = () => ({
      cancelGeneration: { __typename: 'Failed', code: 'FAILED', message, retryable: true },
    })
    await page.goto(address('#/generation/g'))
    await button('Cancel').click()
    await page.getByText(message).waitFor()
  }, 30_000)

  test('of a refused picture, which is not kept, no part is said to be marked', async () => {
    const region = { left: 0.1, top: 0.1, width: 0.5, height: 0.5 }
    const seen = { detector: 'person-detector', score: 0.93, threshold: 0.5, policyVersion: 'moma/words', region }
    const problem = {
      __typename: 'ContentRejected',
      code: 'CONTENT_REJECTED',
      message: 'no',
      retryable: false,
      ...seen,
    }
    answers.Generation = ({ id }) => ({ generation: { ...generation(id!, 'REJECTED'), problem } })
    await page.goto(address('#/generation/g'))
    await page.getByText('Seen by person-detector, 93 % sure.', { exact: true }).waitFor()
    await page.getByText('Decided by the policy moma/words.').waitFor()
  }, 30_000)

  test('a generation that was left before it was there is not followed', async () => {
    await page.goto(address('#/generation/g'))
    await page.getByRole('heading', { name: 'an owl on the beach' }).waitFor()
    const letGo = held('Generation')
    const sent = page.waitForRequest(isOf('Generation'))
    await go('#/generation/h')
    await sent
    await go('#/things')
    await page.getByRole('heading', { name: 'Your things' }).waitFor()
    const before = frames.filter((type) => type === 'subscribe').length
    const there = page.waitForResponse((response) => isOf('Generation')(response.request()))
    letGo()
    await there
    await page.waitForTimeout(300)
    expect(frames.filter((type) => type === 'subscribe').length).toBe(before)
  }, 30_000)

  test('an error of a list goes once the list goes on', async () => {
    const pageInfo = { hasNextPage: true, endCursor: 'a' }
    let isDown = true
    answers.Subjects = ({ after }, route) => {
      if (after === null) return { subjects: { nodes: [subject('a')], pageInfo } }
      if (isDown) return void route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' })
      return { subjects: { ...noPages, nodes: [subject('b')] } }
    }
    await page.goto(address('#/things'))
    // A sentence, though what stands before the mesh answers in HTML.
    await page.getByText('The mesh answered with status 502.').waitFor()
    isDown = false
    await button('More').click()
    await page.getByText('owl of b').waitFor()
    expect(await page.getByRole('alert').count()).toBe(0)
  }, 30_000)

  test('a key that the mesh does not take', async () => {
    answers.Capabilities = (_, route) =>
      void route.fulfill({ status: 401, json: { errors: [{ message: 'an API key is needed' }] } })
    await page.goto(address('#/'))
    await page.getByRole('heading', { name: 'This mesh asks for an API key' }).waitFor()
    expect(await page.getByRole('alert').count()).toBe(0)
    await page.getByLabel('API key').fill('wrong')
    await button('Go on').click()
    await page.getByText('This mesh does not take the key that it was given.').waitFor()
  }, 30_000)

  test('without an error of the page', () => expect(faults).toEqual([]))
})
