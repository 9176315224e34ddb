//! LoRA training, inference and evaluation on candle.
