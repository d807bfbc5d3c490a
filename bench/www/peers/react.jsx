import { createElement as h, memo, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { rowsOf } from './hooks.jsx';
import { table } from './rows.js';

createRoot(table).render(h(rowsOf({ h, memo, useEffect, useState })));
