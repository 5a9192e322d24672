/** Operations in the order in which a first picture is made. A test runs each of them. */
export const examples = [
  {
    name: 'What can it do?',
    query: `query Capabilities {
  capabilities {
    bundle
    sizePx
    samplers
    methods
    limits { uploadBytes pixels promptLength count steps }
    defaults { steps guidance strengthRecontextualize strengthRetexture }
  }
}`,
    variables: {},
  },
  {
    name: '1. Room for a photo',
    query: `mutation Upload($input: CreateUploadInput!) {
  createUpload(input: $input) {
    uploadId
    url
    method
    headers { name value }
    expiresAt
    problem { code message }
  }
}`,
    variables: { input: { contentType: 'image/png', byteLength: 1024 } },
  },
  {
    name: '2. A subject of it',
    query: `mutation Subject($input: CreateSubjectInput!) {
  createSubject(input: $input) {
    __typename
    ... on Subject { id label status image { url } mask { url } safety { decision } }
    ... on Problem { code message retryable }
  }
}`,
    variables: { input: { uploadId: '', label: 'dog' } },
  },
  {
    name: '3. A generation',
    query: `mutation Generate($input: CreateGenerationInput!) {
  createGeneration(input: $input) {
    __typename
    ... on Generation { id status queuePosition seed }
    ... on Problem { code message retryable }
  }
}`,
    variables: { input: { subjectId: '', prompt: 'a dog on a beach at sunset', seed: 7, idempotencyKey: 'first' } },
  },
  {
    name: '4. Watch it',
    query: `subscription Watch($id: ID!) {
  generationProgress(id: $id) {
    cursor
    status
    stage
    step
    steps
    fraction
    etaMs
    preview { url }
    generation { images { url } subject { label safety { decision } } }
  }
}`,
    variables: { id: '' },
  },
  {
    name: '5. Look at it',
    query: `query Generation($id: ID!) {
  generation(id: $id) {
    status
    prompt
    seed
    images { index seed url width height mask { url } safety { decision findings { detector score } } }
    problem { code message }
    timings { stage ms }
  }
}`,
    variables: { id: '' },
  },
  {
    name: 'The newest',
    query: `query Newest {
  generations(first: 5) {
    nodes { id status prompt createdAt subject { label } images { url } }
    pageInfo { hasNextPage endCursor }
  }
}`,
    variables: {},
  },
  {
    name: 'Stop one',
    query: `mutation Cancel($id: ID!) {
  cancelGeneration(id: $id) {
    __typename
    ... on Generation { id status }
    ... on Problem { code message }
  }
}`,
    variables: { id: '' },
  },
]
