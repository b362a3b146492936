"""Card master keys: what each is for, where it lies, and the operations that use one without handing it out (control Y)."""
