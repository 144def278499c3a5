#!/usr/bin/env node
import { main } from './modules/cli/main';

void main();
