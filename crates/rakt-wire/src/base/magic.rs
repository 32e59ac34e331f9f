//! How a connection of rakt's own protocol starts. Whoever listens for several protocols looks for it.

/// How every rakt connection starts, in both directions. The first byte is not ASCII and starts neither
/// a TLS record nor a length that GoAkt would send.
pub const MAGIC: [u8; 6] = [0xf7, b'r', b'a', b'k', b't', 0x0a];
