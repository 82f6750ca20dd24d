// Search a feature by a part of its name: an input with a list of suggestions (WAI-ARIA combobox).
import { useMemo, useRef, useState } from 'preact/hooks';
import type { Model } from './model';

const suggestions = 12;

export function find(model: Pick<Model, 'listed' | 'nameOf'>, text: string, most = suggestions): number[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return [];
  const found: number[] = [];
  const inside: number[] = [];
  for (let i = 0; i < model.listed && found.length < most; ++i) {
    const at = model.nameOf(i).toLowerCase().indexOf(wanted);
    if (at === 0) found.push(i);
    else if (at > 0 && inside.length < most) inside.push(i);
  }
  return [...found, ...inside].slice(0, most);
}

interface Props {
  model: Model;
  selected: number | null;
  select: (listed: number | null) => void;
}

export function Search({ model, selected, select }: Props) {
  const [text, setText] = useState('');
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const found = useMemo(() => find(model, text), [model, text]);
  const choose = (listed: number) => {
    select(listed);
    setText(model.nameOf(listed));
    setOpen(false);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setActive(Math.min(found.length - 1, open ? active + 1 : 0));
    else if (event.key === 'ArrowUp') setActive(Math.max(0, active - 1));
    else if (event.key === 'Enter' && found[active] !== undefined) choose(found[active]);
    else if (event.key === 'Escape') {
      setText('');
      select(null);
    } else return;
    if (event.key.startsWith('Arrow')) setOpen(true);
    if (event.key === 'Escape') setOpen(false);
    event.preventDefault();
  };
  const expanded = open && found.length > 0;
  return (
    <div class="search">
      <label for="search">Find a feature</label>
      <input
        id="search"
        ref={input}
        type="text"
        role="combobox"
        autocomplete="off"
        spellcheck={false}
        aria-autocomplete="list"
        aria-expanded={expanded}
        aria-controls="search-list"
        aria-activedescendant={expanded ? `search-${active}` : undefined}
        placeholder="part of its name"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setActive(0);
          setOpen(true);
          if (event.currentTarget.value === '') select(null);
        }}
        onKeyDown={onKey}
        onBlur={() => setOpen(false)}
      />
      {selected !== null && (
        <button
          type="button"
          onClick={() => {
            setText('');
            select(null);
            input.current?.focus();
          }}
        >
          Clear
        </button>
      )}
      <ul id="search-list" role="listbox" aria-label="Features" hidden={!expanded}>
        {found.map((listed, i) => (
          <li
            id={`search-${i}`}
            role="option"
            aria-selected={i === active}
            onMouseDown={(event) => {
              event.preventDefault();
              choose(listed);
            }}
          >
            {model.nameOf(listed)}
          </li>
        ))}
      </ul>
      <span class="quiet" role="status">
        {open && text.trim() !== '' ? (found.length === 0 ? 'no feature of this name is listed' : '') : ''}
      </span>
    </div>
  );
}
