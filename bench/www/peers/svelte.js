import { mount } from 'svelte';
import Rows from './svelte.svelte';
import { table } from './rows.js';

mount(Rows, { target: table });
