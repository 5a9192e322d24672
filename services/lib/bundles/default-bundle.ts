/** What draws where no bundle is named: it comes with the repository. */
export const defaultBundle = 'moma-mini'
