// The one way TypeScript becomes JavaScript here: Vite's build with our settings per target.
// What is built from what is said in build.mjs; run-ts.mjs uses the same for scripts.
import { isAbsolute, join } from 'node:path'
import { build } from 'vite'
import { ROOT } from './install.mjs'

/** Bare names are packages: Node finds them at run time. Relative and absolute ones are ours. */
const isPackage = (id) => !id.startsWith('.') && !id.startsWith('\0') && !isAbsolute(id)

const COMMON = { configFile: false, root: ROOT, logLevel: 'warn', publicDir: false }

/**
 * Modules or a classic script for browsers: everything inside, minified. `apart` names imports that are built on their own
 * ('./source.ts' → './file.js'): a chunk shared with them would make every visitor load what only they need.
 */
export function bundleBrowser({ entries, outDir, format = 'es', apart = {} }) {
  const isScript = format === 'iife'
  return build({
    ...COMMON,
    plugins: [{ name: 'apart', enforce: 'pre', resolveId: (id) => apart[id] && { id: apart[id], external: true } }],
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      outDir,
      emptyOutDir: false,
      target: 'es2022',
      lib: { entry: absolute(entries), formats: [format], ...(isScript && { name: 'holdfast' }) },
      rolldownOptions: {
        output: {
          entryFileNames: '[name].js',
          chunkFileNames: 'chunks/[name].js',
          // Vite keeps the white space of ES libraries; visitors should not have to load it.
          minify: true,
          comments: false,
          ...(isScript && { codeSplitting: false }),
        },
      },
    },
  })
}

/** Modules for Node: our own files in one bundle, packages left outside. */
export function bundleNode({ entries, outDir, extension = 'js', singleFile = false }) {
  return build({
    ...COMMON,
    build: {
      outDir,
      emptyOutDir: false,
      target: 'node20',
      ssr: true,
      minify: false,
      rolldownOptions: {
        input: absolute(entries),
        external: isPackage,
        output: {
          format: 'es',
          entryFileNames: `[name].${extension}`,
          chunkFileNames: 'chunks/[name].js',
          ...(singleFile && { codeSplitting: false }),
        },
      },
    },
  })
}

/** The demo: every HTML file of public/ is a page. */
export function bundlePages({ pages, root, outDir, staticDir }) {
  return build({
    ...COMMON,
    root,
    publicDir: staticDir,
    resolve: { alias: [{ find: /^holdfast$/, replacement: join(ROOT, 'src/index.ts') }] },
    build: { outDir, emptyOutDir: false, target: 'es2022', rolldownOptions: { input: pages } },
  })
}

function absolute(entries) {
  return Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(ROOT, file)]))
}
