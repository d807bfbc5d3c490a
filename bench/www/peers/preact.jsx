import { h, render } from 'preact';
import { memo } from 'preact/compat';
import { useEffect, useState } from 'preact/hooks';
import { rowsOf } from './hooks.jsx';
import { table } from './rows.js';

render(h(rowsOf({ h, memo, useEffect, useState })), table);
