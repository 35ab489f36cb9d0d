//! What happens on the worker's device.
