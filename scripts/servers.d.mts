/** The folder that holds `postgres` and `initdb`. */
export function findPostgres(): string | undefined
/** The server's program. */
export function findRedis(): string | undefined
