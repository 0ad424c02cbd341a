//! Chance for the search, from a seed that the caller gives: SplitMix64 (Steele, Lea & Flood, "Fast
//! splittable pseudorandom number generators", OOPSLA 2014). Small, fast, the same on each machine.

/// A stream of numbers that its seed decides.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// A stream; streams of two numbers of one seed differ.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when `n` is 0. The bias is below n / 2³².
    pub fn below(&mut self, n: usize) -> usize {
        let wide = (self.next() >> 32).wrapping_mul(n as u64);
        usize::try_from(wide >> 32).unwrap_or_default()
    }
}
