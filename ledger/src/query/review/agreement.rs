//! How far two people agree, beyond what chance would give.

use attestune_proto::v1::Agreement;

/// What two people said of the same things, by category: 0 to `N` − 1.
#[derive(Debug, Clone)]
pub struct Table<const N: usize>([[u64; N]; N]);

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self([[0; N]; N])
    }
}

impl<const N: usize> Table<N> {
    /// Counts one thing, of which one said this and the other that. Categories that there are not are left out.
    pub fn count(&mut self, one: usize, other: usize) {
        if let Some(cell) = self.0.get_mut(one).and_then(|row| row.get_mut(other)) {
            *cell += 1;
        }
    }

    /// Cohen's kappa, `(p_o − p_e) / (1 − p_e)`: p_o is the share on which both said the same, p_e the share on which
    /// they would if each said as often what they did, but blindly (Cohen 1960).
    pub fn agreement(&self) -> Agreement {
        let compared: u64 = self.0.iter().flatten().sum();
        let agreed: u64 = (0..N).map(|n| self.0[n][n]).sum();
        let total = compared as f64;
        let one = |n: usize| self.0[n].iter().sum::<u64>() as f64;
        let other = |n: usize| self.0.iter().map(|row| row[n]).sum::<u64>() as f64;
        let by_chance: f64 = (0..N).map(|n| one(n) * other(n)).sum::<f64>() / (total * total);
        let kappa = (agreed as f64 / total - by_chance) / (1.0 - by_chance);
        let kappa_ppm = kappa.is_finite().then(|| (kappa * 1e6).round() as i32);
        Agreement { compared, agreed, kappa_ppm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: [[u64; 2]; 2]) -> Agreement {
        Table(cells).agreement()
    }

    #[test]
    fn kappa_is_what_the_formula_says() {
        // 35 of 50 agreed, half of it by chance: (0.7 − 0.5) / 0.5.
        let example = table([[20, 5], [10, 15]]);
        assert_eq!((example.compared, example.agreed, example.kappa_ppm), (50, 35, Some(400_000)));
        assert_eq!(table([[5, 0], [0, 5]]).kappa_ppm, Some(1_000_000));
        assert_eq!(table([[0, 5], [5, 0]]).kappa_ppm, Some(-1_000_000));
        assert_eq!(table([[45, 15], [25, 15]]).kappa_ppm, Some(130_435));
    }

    #[test]
    fn where_all_said_the_same_or_nothing_kappa_has_no_value() {
        assert_eq!(table([[7, 0], [0, 0]]), Agreement { compared: 7, agreed: 7, kappa_ppm: None });
        assert_eq!(table([[0, 0], [0, 0]]).kappa_ppm, None);
    }

    #[test]
    fn categories_that_there_are_not_are_left_out() {
        let mut table = Table::<3>::default();
        table.count(0, 2);
        table.count(3, 0);
        assert_eq!(table.agreement().compared, 1);
    }
}
