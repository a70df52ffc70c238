/** Form fields: a label, help, and what the server found wrong. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { Icon } from "./icon";
import { errorText } from "./toasts";

/** What the control of a field has to be given. */
interface ControlProps {
  id: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
}

interface FieldProps {
  label: string;
  help?: ComponentChildren;
  error?: string | undefined;
  /** The control, for another one than `Input`. */
  children: (control: ControlProps) => ComponentChildren;
}

export function Field({ label, help, error = "", children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({
        id,
        "aria-describedby": help === undefined ? `${id}-error` : `${id}-help ${id}-error`,
        "aria-invalid": error !== "",
      })}
      {help !== undefined && (
        <p class="help" id={`${id}-help`}>
          {help}
        </p>
      )}
      <p class="error" id={`${id}-error`} aria-live="polite" hidden={error === ""}>
        {error}
      </p>
    </div>
  );
}

interface InputProps extends Omit<FieldProps, "children"> {
  value: string;
  onValue: (value: string) => void;
  type?: "text" | "password" | "search" | "number" | "url" | "datetime-local";
  name?: string;
  autocomplete?: string;
  inputMode?: "text" | "numeric" | "decimal" | "url";
  placeholder?: string;
  maxLength?: number;
  min?: number;
  max?: number;
  step?: number;
  required?: boolean;
  readOnly?: boolean;
  disabled?: boolean;
}

/** A field with a line of text. */
export function Input({ label, help, error, value, onValue, ...attributes }: InputProps) {
  return (
    <Field label={label} help={help} error={error}>
      {(control) => (
        <input
          {...(attributes as { type?: "text" })} // Preact's types want to know which one it is
          {...control}
          class="input"
          spellcheck={false}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface Option<T extends string> {
  readonly value: T;
  readonly label: string;
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
}

/** A choice out of a list. */
export function Select<T extends string>({ label, value, options, onValue }: ChoiceProps<T>) {
  return (
    <Field label={label}>
      {(control) => (
        <select
          {...control}
          class="input"
          value={value}
          onChange={(event) => {
            const found = options.find((option) => option.value === event.currentTarget.value);
            if (found) onValue(found.value);
          }}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A choice out of a few, side by side. */
export function Segments<T extends string>({ label, value, options, onValue }: ChoiceProps<T>) {
  const name = useId();
  return (
    <div class="segments" role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <label key={option.value}>
          <input type="radio" name={name} checked={option.value === value} onChange={() => onValue(option.value)} />
          {option.label}
        </label>
      ))}
    </div>
  );
}

/** Why a form was not taken, beyond what its fields say. */
export function FormError({ error, fields = [] }: { error: unknown; fields?: readonly string[] }) {
  if (error === null || error === undefined) return null;
  const text = error instanceof ApiError && error.status !== 0 ? error.besides(fields) : errorText(error);
  if (text === "") return null;
  return (
    <div class="notice bad" role="alert">
      <Icon name="bad" />
      <p>{text}</p>
    </div>
  );
}

/** Sends a form: `submit` for `onSubmit`, whether it is under way, and its error. */
export function useSubmit(action: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (event?: Event) => {
    event?.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await action();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  /** What is wrong with a field of the body. */
  const of = (field: string) => (error instanceof ApiError ? error.of(field) : "");
  return { submit: (event?: Event) => void submit(event), busy, error, of };
}
