// Bundle each peer as its makers advise for production. usage: node build.mjs FOLDER       FOLDER: has node_modules; gets NAME.js
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const folder = resolve(process.argv[2]), need = createRequire(`${folder}/`);
const { build } = need('esbuild'), babel = need('@babel/core'), { compile } = need('svelte/compiler');
const text = path => readFileSync(path, 'utf8');
const compilers = {
    name: 'compilers',
    setup(b) {
        b.onLoad({ filter: /solid\.jsx$/ }, ({ path }) => ({ contents: babel.transformSync(text(path), { filename: path, presets: [need('babel-preset-solid')], configFile: false }).code }));
        b.onLoad({ filter: /\.svelte$/ }, ({ path }) => ({ contents: compile(text(path), { filename: path, generate: 'client', dev: false }).js.code }));
    },
};
for (const [name, file] of Object.entries({ solid: 'solid.jsx', svelte: 'svelte.js', preact: 'preact.jsx', react: 'react.jsx' }))
    await build({
        entryPoints: [new URL(file, import.meta.url).pathname], outfile: `${folder}/${name}.js`, nodePaths: [`${folder}/node_modules`],
        bundle: true, minify: true, format: 'esm', target: 'es2022', conditions: ['browser', 'production'], jsxFactory: 'h', define: { 'process.env.NODE_ENV': '"production"' }, plugins: [compilers],
    });
