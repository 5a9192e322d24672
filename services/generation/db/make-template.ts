// Part of npm's prepare: the empty database that a mesh's first start copies. A mesh works without it, so nothing that
// goes wrong here stops an installation.
try {
  const [{ openPglite }, { makeTemplate }] = await Promise.all([import('./pglite.ts'), import('./template.ts')])
  await makeTemplate(async (folder) => {
    const db = await openPglite(folder, null)
    await db[Symbol.asyncDispose]()
  })
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error)
  console.log(`the empty database is not made ahead, the first start will take longer: ${reason}`)
}
