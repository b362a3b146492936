"""Cards in readers: PC/SC contexts, one worker thread per reader, and the driver of `cardcore.card` dialogues. Needs pyscard."""
