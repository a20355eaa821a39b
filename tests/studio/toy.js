// The page's side of tests/edits/toy_kind.py: a press on the picture says by how much it is shifted.

import { toStage } from "../geometry.js";
import { draftOf } from "../state.js";
import { NumberField } from "../typed.js";
import { html } from "../vendor/preact.js";

export const shift = {
  tab: "shift",
  label: "Shift",
  needs: "shift",
  tool: "own",
  own: { times: 4 },
  draft: { amount: { empty: () => 0, pack: (amount) => amount, unpack: (amount) => amount } },

  Panel: ({ studio }) => html`
    <label>
      Times
      <${NumberField} value=${studio.state.own.shift.times} use=${(times) => studio.keepOwn(shift, { times })} />
    </label>
  `,
  ready: (state) => ({ ok: draftOf(state).amount !== 0, says: draftOf(state).amount ? "It can be shifted." : "Press." }),
  toEdit: (state) => ({ kind: "shift", amount: draftOf(state).amount, times: state.own.shift.times }),
  fromEdit: ({ amount, times }, last, side, state) => ({
    draft: { amount },
    own: { ...state.own, shift: { times } },
  }),
  press(studio, from) {
    const amount = (at) => studio.change({ ...draftOf(studio.state), amount: (at[0] - from[0] + 1) / 100 }, "shift");
    return { move: amount, end: amount, drop() {} };
  },
  marks({ studio, look }) {
    const [x, y] = toStage(look.view, [100 * draftOf(studio.state).amount, 4]);
    return html`<circle class="toy" cx=${x} cy=${y} r="5" />`;
  },
  readout: (state, { step, metrics }) => ({ share: step / 4, facts: [["Moved", metrics.moved.toFixed(3)]] }),
  title: (title) => `${title}ed`,
};
